"""``bmi train``: fit a recurrent decoder to recordings and write it, for a session or a comparison."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # a second thread makes matrices of this size slower, not faster

import click  # noqa: E402

from bmi_runtime.cli.common import answer, answer_options, progress, say  # noqa: E402


@click.command()
@click.argument("data", nargs=-1, required=True, type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="The decoder's file (.npz), never overwritten.")
@click.option("--kind", type=click.Choice(["recurrent", "short-history", "joined"]), default="recurrent",
              show_default=True, help="joined: a short history beside units that adapt, best in a loop.")  # fmt: skip
@click.option("--for", "purpose", type=click.Choice(["recording", "closed-loop"]), default="recording",
              show_default=True, help="closed-loop: little memory, velocities not shrunk.")  # fmt: skip
@click.option(
    "--members", type=int, default=None, help="Networks whose outputs are averaged.  [default: 3, 2 in a loop]"
)
@click.option("--epochs", type=float, default=None, help="How often each bin is seen.  [default: 75, 60 in a loop]")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same bits.")
@click.option("--mapping", type=click.Path(), help="A TOML file that says what is what in the files.")
@click.option("--velocity", type=click.Choice(["intended", "cursor", "rotated"]), help="What of a session is decoded.")
@click.option("--figure", type=click.Path(), help="Draw the course of the training (.png, .pdf, .svg).")
@answer_options
def train(data, out, kind, figure, as_json, **options):
    r"""Train a network decoder on the recordings DATA (one or several days of the same units and bins).

    DATA are files of binned counts with kinematics, or sessions of the runtime (.mcap; by default the velocity that
    was inferred as intended is decoded). One network is trained on the first four fifths and scored on the last fifth;
    the decoder is then trained on all of DATA:

    \b
    bmi train monday.mcap tuesday.mcap --kind joined --for closed-loop --out net.npz
    bmi run --set decoder.kind=joined --set decoder.fitted_file=net.npz
    """
    import pathlib
    import time

    from bmi_runtime.decoding.fitted_file import check_free, save_fitted
    from bmi_runtime.decoding.network_kinds import trained
    from bmi_runtime.errors import BadInput

    check_free(pathlib.Path(out))
    if figure:
        from bmi_runtime.cli.compare_figures import check_writable

        check_writable(figure)
    recipe = _recipe(kind, options)
    if options["seed"] < 0:
        raise BadInput(f"--seed is {options['seed']}; give 0 or more")
    training, unit_m_s, about, odd = _training(data, options, as_json)
    started, busy = time.perf_counter(), time.process_time()
    with progress("training", recipe.members + 1) as advance:
        in_loop = {"for_loop": options["purpose"] == "closed-loop", "in_m_s": unit_m_s == 1.0}
        decoder = trained(kind, training, recipe, options["seed"], advance, **in_loop)
    busy, seconds = time.process_time() - busy, time.perf_counter() - started
    save_fitted(out, kind, decoder, training, unit_m_s, about)
    validation = decoder.validation
    assert validation is not None  # `fit` always validates
    result = {
        "kind": kind,
        "r2_validation": validation.r2_velocity,
        "seconds": seconds,
        "cpu_seconds": busy,
        "parameters": decoder.size,
        "members": recipe.members,
        "bins": len(training.counts),
        "units": training.counts.shape[1],
        "bin_s": training.bin_s,
        "odd": odd,
        "file": str(out),
    }
    if figure:
        result["figure"] = _draw(validation, figure)
    answer(result, as_json, _text(result))


def _recipe(kind, options):
    """Return the recipe with the options that were given."""
    import dataclasses

    from bmi_runtime.decoding.network_kinds import KINDS
    from bmi_runtime.errors import BadInput

    recipe = KINDS[kind].loop if options["purpose"] == "closed-loop" else KINDS[kind].recording
    if options["members"] is not None:
        recipe = dataclasses.replace(recipe, members=options["members"])
    if options["epochs"] is not None:
        recipe = dataclasses.replace(recipe, epochs=options["epochs"])
    if not 1 <= recipe.members <= 16:
        raise BadInput(f"--members is {recipe.members}; give 1 to 16 networks")
    if not 1.0 <= recipe.epochs <= 1000.0:
        raise BadInput(f"--epochs is {recipe.epochs:g}; give 1 to 1000")
    return recipe


def _training(paths, options, as_json):
    """Read all recordings; return them joined, the unit of velocity in m/s where known, their names, what is odd."""
    from bmi_runtime.decoding.batch_decoder import Training
    from bmi_runtime.decoding.comparison import training_of
    from bmi_runtime.errors import BadInput
    from bmi_runtime.sources.datafile import load_recording
    from bmi_runtime.sources.oddities import of_bins
    from bmi_runtime.sources.open_loop import check_decodable
    from bmi_runtime.sources.several_days import check_same, in_the_same_axes

    recordings = []
    for path in paths:
        if options["velocity"] and not path.endswith(".mcap"):
            raise BadInput(f"--velocity is for sessions of the runtime (.mcap); {path} holds the velocity it holds")
        recording = load_recording(path, mapping=options["mapping"], velocity=options["velocity"] or "intended")
        for sentence in of_bins(recording):
            say(f"odd: {sentence}", as_json)
        moves = _moving(recording.velocity)
        check_decodable(recording.name, recording.counts, recording.velocity[:, moves])
        say(recording.described, as_json)
        recordings.append(recording)
        check_same(recordings, paths)
    recordings = in_the_same_axes(recordings, paths)
    joined = Training.joined([training_of(recording).bridged() for recording in recordings])
    rests = zip(recordings[0].axes, ~_moving(joined.velocity), strict=True)
    odd = [f"{axis} rests in all bins: it is decoded as at rest" for axis, still in rests if still]
    for sentence in odd:
        say(f"odd: {sentence}", as_json)
    about = " + ".join(str(path).rpartition("/")[2] for path in paths)
    return joined, 1.0 if recordings[0].velocity_unit == "m/s" else None, about, odd


def _moving(velocity):
    """Return which axes move; all, where none does, which is then refused."""
    from bmi_runtime.sources.open_loop import resting_axes

    rests = resting_axes(velocity)
    return ~rests | rests.all()


def _draw(validation, path) -> str:
    """Draw the loss of every update of the validated network, and what it scored."""
    import numpy as np

    from bmi_runtime.drawing import pyplot

    plt = pyplot()

    loss = validation.loss
    width = max(len(loss) // 50, 1)
    smooth = np.convolve(loss, np.full(width, 1.0 / width), "valid")
    figure, axes = plt.subplots(figsize=(6, 3.5), constrained_layout=True)
    axes.plot(loss, color="0.8", lw=0.6, label="one batch")
    axes.plot(np.arange(len(smooth)) + width // 2, smooth, label=f"mean of {width}")
    axes.axhline(1.0 - validation.r2, color="C3", ls="--", label="last fifth, not trained on")
    axes.set(xlabel="update", ylabel="squared error / variance", ylim=(0, None))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return str(path)


def _text(result) -> str:
    import shlex

    from bmi_runtime.decoding.tables import DECODERS

    runs_as = result["kind"] if result["kind"] in DECODERS else "fitted"
    scores = " / ".join(f"{value:.3f}" if value == value else "at rest" for value in result["r2_validation"])
    return (
        f"{result['file']}: {result['members']} networks, {result['parameters']} parameters, {result['units']} units, "
        f"bins of {1e3 * result['bin_s']:g} ms\nvelocity R2 of the last fifth, by a network that was not trained on "
        f"it: {scores}\n{result['bins']} bins in {result['seconds']:.1f} s ({result['cpu_seconds']:.1f} CPU s)\n"
        f"it runs with: --set decoder.kind={runs_as} --set decoder.fitted_file={shlex.quote(result['file'])}"
    )
