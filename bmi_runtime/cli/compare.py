"""``bmi compare``: decoders side by side, on recordings (cross-validated) or in a simulated closed loop."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import click  # noqa: E402

from bmi_runtime.cli.common import answer, answer_options, progress, say  # noqa: E402

OPEN_LOOP = (
    "history,point-process,kalman,kalman-velocity,kalman-steady,ole,population-vector,wiener,ridge,wiener-cascade"
)
NETWORKS = "joined,recurrent"
MOST_COUNTS = 4_000_000  # bins x units: beyond it five folds of networks take more than a few minutes
CLOSED_LOOP = (
    "adaptive,adaptive-history,joined,short-history,recurrent,smoothbatch,rml,refit-kalman,point-process,"
    "kalman-velocity,ole,ridge"
)
DAYS = "inferred,supervised,frozen,pri-t,stabiliser"
NEEDS_TARGETS = ("refit-kalman",)


@click.command()
@click.argument("data", nargs=-1, type=click.Path())
@click.option("--decoders", help="Names, or files (.npz, .onnx), separated by commas.  [default: all that suit]")
@click.option("--folds", type=int, default=5, show_default=True, help="Blocks of the cross-validation.")
@click.option("--mapping", type=click.Path(), help="A TOML file that says what is what in the file.")
@click.option("--velocity", type=click.Choice(["intended", "cursor", "rotated"]), help="What of a session is decoded.")
@click.option(
    "--write", type=click.Path(), help="Fit the one decoder to all of DATA and write it, for a session (.npz)."
)
@click.option("--closed-loop", is_flag=True, help="Compare in the simulated closed loop; no DATA.")
@click.option("--world", "pilot", metavar="PILOT", help="The closed loop of a world fitted to PILOT; no DATA.")
@click.option("--days", type=int, help="Compare ways to keep a decoder over so many simulated days; no DATA.")
@click.option("--seeds", type=int, default=5, show_default=True, help="Simulated subjects (closed loop).")
@click.option("--calibration", "calibration_s", type=float, default=120.0, show_default=True, help="Seconds to learn.")
@click.option(
    "--test", "test_s", type=float, default=120.0, show_default=True, help="Seconds that are scored (of a day)."
)
@click.option("--half-life", "half_life_s", type=float, help="Seconds, of smoothbatch and rml.  [default: 120]")
@click.option("--calculated-gain", is_flag=True, help="Closed loop: each decoder has its own calculated gain.")
@click.option("--config", "config_path", help="Configuration of the closed loop.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override the configuration.")
@click.option("--seed", type=int, default=1, show_default=True, help="First seed (closed loop), or of the bootstrap.")
@click.option("--figure", type=click.Path(), help="Write a figure (.png, .pdf, .svg).")
@answer_options
def compare(data, closed_loop, days, figure, as_json, decoders, **options):
    r"""Compare decoders on the recordings DATA, each bin decoded by fits that never saw its block.

    DATA are files of binned counts with kinematics, or sessions of the runtime (.mcap; by default the velocity that
    was inferred as intended is decoded). With --write a decoder is then fitted to all of DATA, for a live session:

    \b
    bmi compare calibration.mcap --decoders ole --write ole.npz
    bmi run --set decoder.kind=fitted --set decoder.fitted_file=ole.npz

    With --closed-loop a simulated subject uses every decoder; the same seed means the same subject and units. With
    --days the units change every night, and after the first day only 'supervised' is told what is wanted.
    """
    from bmi_runtime.errors import BadInput

    if days is not None:
        result = _over_days(days, data, closed_loop, figure, decoders, options)
        answer(result, as_json, _text(result))
        return
    closed_loop = closed_loop or options["pilot"] is not None
    if closed_loop == bool(data):
        raise BadInput("give recordings to compare on, or --closed-loop or --world, and not both")
    by_default = CLOSED_LOOP if closed_loop else f"{NETWORKS},{OPEN_LOOP}"
    names = [name.strip() for name in (decoders or by_default).split(",")]
    names = [name for name in names if name]
    if not names:
        raise BadInput("--decoders names none")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise BadInput(f"the decoder '{repeated[0]}' is named twice in --decoders")
    _check_write(data, names, options["write"])
    if figure:
        from bmi_runtime.cli.compare_figures import check_writable

        check_writable(figure)
    options["chosen"] = decoders is not None
    result = _closed(names, options) if closed_loop else _open(data, names, options)
    if figure:
        from bmi_runtime.cli.compare_figures import draw

        result["figure"] = draw(result, figure)
    answer(result, as_json, _text(result))


def _over_days(days, data, closed_loop, figure, decoders, options):
    from bmi_runtime import registry
    from bmi_runtime.cli.compare_days import METHODS, compare_days
    from bmi_runtime.errors import BadInput

    if data or closed_loop or options["pilot"] is not None or figure or options["write"]:
        raise BadInput("--days is a comparison of its own: give no DATA, --closed-loop, --world, --figure or --write")
    names = list(dict.fromkeys(name.strip() for name in (decoders or DAYS).split(",") if name.strip()))
    if not names:
        raise BadInput("--decoders names none")
    for name in names:
        if name not in METHODS:
            raise registry.unknown("method", name, METHODS)
    with progress("days", options["seeds"] * len(names)) as advance:
        return compare_days(names, days, options, lambda: advance(1))


def _check_write(data, names, path):
    """Refuse what would only be found out after the comparison."""
    import pathlib

    from bmi_runtime.decoding.fitted_file import check_free
    from bmi_runtime.decoding.tables import FITTED
    from bmi_runtime.errors import BadInput

    if path is None:
        return
    if len(data) != 1 or len(names) != 1 or names[0] not in FITTED:
        raise BadInput(f"--write takes one recording and one decoder (--decoders) of {', '.join(FITTED)}")
    check_free(pathlib.Path(path))


def _open(paths, names, options):
    from bmi_runtime.decoding.comparison import compare_decoders
    from bmi_runtime.decoding.tables import fitted_names
    from bmi_runtime.errors import BadInput
    from bmi_runtime.sources.datafile import load_recording
    from bmi_runtime.sources.oddities import of_bins

    _check_names(names, fitted_names())
    tables: dict[str, list] = {}
    oddities: dict[str, list[str]] = {}
    axes: dict[str, list[str]] = {}
    for path in paths:
        if options["velocity"] and not path.endswith(".mcap"):
            raise BadInput(f"--velocity is for sessions of the runtime (.mcap); {path} holds the velocity it holds")
        recording = load_recording(path, mapping=options["mapping"], velocity=options["velocity"] or "intended")
        for name in names:
            if name in NEEDS_TARGETS and recording.targets is None:
                raise BadInput(f"'{name}' learns from where the targets are; compare it with --closed-loop")
        say(recording.described, True)
        for sentence in (odd := of_bins(recording)):
            say(f"odd: {sentence}", True)
        here = names if options["chosen"] else _affordable(names, recording)
        if trained := [name for name in here if name in (*NETWORKS.split(","), "short-history")]:
            say(f"{options['folds']} folds, networks ({', '.join(trained)}) are trained in each", True)
        with progress(recording.name, options["folds"] * len(here)) as advance:
            rests: dict[int, list[int]] = {}
            rows = compare_decoders(recording, here, options["folds"], options["seed"], advance, rests)
        for sentence in (resting := _resting(rests, recording.axes)):
            say(f"odd: {sentence}", True)
        odd += resting
        title = path if recording.name in tables else recording.name
        tables[title], oddities[title], axes[title] = rows, odd, list(recording.axes)
    result = {"mode": "open-loop", "folds": options["folds"], "tables": tables, "axes": axes, "odd": oddities}
    return result | ({"written": _write(options["write"], names[0], recording)} if options["write"] else {})


def _resting(rests, axes):
    """Return a sentence for every axis that rests in all that some folds learn from."""
    told = []
    for axis, folds in rests.items():
        which = f"folds {', '.join(map(str, folds))} learn" if len(folds) > 1 else f"fold {folds[0]} learns"
        told.append(f"{axes[axis]} rests in all that {which} from, so it is not decoded there")
    return told


def _affordable(names, recording):
    """Return the default decoders without the networks where training them would take too long; say so."""
    if recording.counts.size <= MOST_COUNTS:
        return names
    left_out = NETWORKS.split(",")
    say(f"left out, {recording.n_bins} bins of {recording.n_units} units take long to train on: {NETWORKS}; "
        "name them in --decoders to have them", True)  # fmt: skip
    return [name for name in names if name not in left_out]


def _write(path, name, recording):
    from bmi_runtime.decoding.comparison import training_of
    from bmi_runtime.decoding.fitted_file import save_fitted
    from bmi_runtime.decoding.fitting import fit_decoder

    training = training_of(recording).bridged()
    unit_m_s = 1.0 if recording.velocity_unit == "m/s" else None
    save_fitted(path, name, fit_decoder(name, training), training, unit_m_s, recording.name)
    return path


def _check_names(names, known):
    from bmi_runtime import registry
    from bmi_runtime.decoding.fitting import is_file

    for name in names:
        if name not in known and not is_file(name):
            raise registry.unknown("decoder", name, known)


def _closed(names, options):
    from bmi_runtime.cli.compare_closed_loop import ADAPTIVE, compare_closed_loop
    from bmi_runtime.decoding.tables import ADAPTED, fitted_names

    _check_names(names, [*ADAPTIVE, *ADAPTED, *fitted_names()])
    if options["pilot"] is not None:
        from bmi_runtime.rehearsal.fit import world_of

        options["world"] = world_of(options["pilot"])[0]
    with progress("closed loop", options["seeds"] * len(names)) as advance:
        return compare_closed_loop(names, options, advance)


def _text(result):
    if result["mode"] == "days":
        from bmi_runtime.cli.compare_days import table

        return table(result)
    if result["mode"] == "open-loop":
        text = "\n\n".join(_open_table(name, rows, result["axes"][name]) for name, rows in result["tables"].items())
        return text + (f"\n\nfitted to all of it and written: {result['written']}" if "written" in result else "")
    return _closed_table(result)


def _open_table(name, rows, axes):
    heads = "".join(f"{axis:>7.6}" for axis in axes)
    lines = [
        f"{name}: held-out R2",
        f"{'decoder':<18}{'velocity':>9}  {'95 % interval':<15}{heads}{'position':>10}{heads}  behind the best",
    ]
    for row in rows:
        if "failed" in row:
            lines.append(f"{row['decoder']:<18}{'-':>9}  {row['failed']}")
            continue
        low, high = row["interval"]
        velocities, positions = (
            "".join(f"{'-':>7}" if value is None else f"{value:>7.3f}" for value in row[key] or [None] * len(axes))
            for key in ("r2_velocity", "r2_position")
        )
        gap = ""
        if row is not rows[0]:
            first, last = row["behind_best_interval"]
            gap = f"{row['behind_best']:.3f} [{first:.3f}, {last:.3f}]"
        interval = f"[{low:.3f}, {high:.3f}]"
        lines.append(f"{row['decoder']:<18}{row['r2']:>9.3f}  {interval:<15}{velocities}{'':>10}{positions}  {gap}")
    return "\n".join(lines)


MEASURES = {  # of the closed loop: (head of the column, width, digits, scale)
    "successes_per_min": ("hits/min", 10, 1, 1.0),
    "success_rate": ("success", 9, 2, 1.0),
    "time_to_target_s": ("time s", 8, 2, 1.0),
    "path_efficiency": ("path eff.", 11, 2, 1.0),
    "orthogonal_deviation_m": ("orth. mm", 10, 1, 1e3),
    "throughput_bits_s": ("Fitts b/s", 11, 2, 1.0),
    "bit_rate_bits_s": ("bits/s", 8, 2, 1.0),
    "unrelated_per_min": ("unrelated", 11, 1, 1.0),
}
COMPARED = ("successes_per_min", "time_to_target_s", "path_efficiency", "throughput_bits_s", "bit_rate_bits_s")


def _closed_table(result):
    """Return means, and below them the paired differences from the first decoder with their intervals."""
    lines = [
        f"closed loop, {result['seeds']} simulated subjects, {result['calibration_s']:g} s to learn, "
        f"{result['test_s']:g} s scored; mean over subjects",
        f"{'decoder':<18}" + "".join(f"{head:>{width}}" for head, width, _, _ in MEASURES.values()),
    ]
    for row in result["table"]:
        cells = (
            f"{scale * row['mean'][key]:>{width}.{digits}f}" for key, (_, width, digits, scale) in MEASURES.items()
        )
        lines.append(f"{row['decoder']:<18}" + "".join(cells))
    lines += [
        "unrelated: hits/min with counts that know nothing of the target, reached by chance or by the teacher alone"
    ]
    lines += ["", f"difference from {result['reference']} [95 % over pairs of the same subject]"]
    lines.append(f"{'decoder':<18}" + "".join(f"{MEASURES[key][0]:>24}" for key in COMPARED))
    for row in result["table"]:
        if row["decoder"] != result["reference"]:
            lines.append(f"{row['decoder']:<18}" + "".join(f"{_gap(row, key):>24}" for key in COMPARED))
    return "\n".join(lines)


def _gap(row, key):
    digits, scale = MEASURES[key][2:]
    difference, low, high = (scale * value for value in row["difference"][key])
    text = f"{difference:+.{digits}f}"
    return text + (f" [{low:+.{digits}f}, {high:+.{digits}f}]" if low == low else " (one subject)")
