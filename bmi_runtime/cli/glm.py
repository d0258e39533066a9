"""``bmi glm``: simulate, fit, test, plot and export coupled Poisson GLMs."""

import os

# Set before numpy is loaded: on small matrices a second BLAS thread only burns processor time.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import time  # noqa: E402

import click  # noqa: E402

from bmi_runtime.cli.common import OutFile, answer, answer_options, progress, say  # noqa: E402


@click.group()
def glm():
    """Coupled Poisson GLMs (self-history, coupling between units and areas, kinematics) of a whole array."""


def _model_options(function):
    options = [
        click.option("--history-bins", type=int, default=20, show_default=True, help="Past bins that act on a rate."),
        click.option("--basis", default="raw", show_default=True, help="raw, raised-cosine:N, b-spline:N, ..."),
        click.option(
            "--covariates",
            default="auto",
            show_default="the table covariates",
            help="all, none, or a list such as velocity or velocity:0.",
        ),
        click.option(
            "--leads",
            default="0",
            show_default=True,
            help="Bins covariates run ahead, e.g. 0,1,2 or -3:3; with semicolons one list a covariate: 0:5;1:5.",
        ),
        click.option(
            "--reach",
            default=None,
            metavar="BLOCK=BINS,...",
            help="Shorter histories by block: own=20,other=10, or areas as TARGET-SOURCE, e.g. M1-PMv=10.",
        ),
        click.option("--coupling", default="all", show_default=True, help="Whose past acts: all, own or none."),
        click.option("--link", default="exponential", show_default=True, help="exponential or softplus."),
        click.option("--ridge", type=float, default=0.0, show_default=True, help="Penalty per bin on squared weights."),
        click.option("--smooth", type=float, default=0.0, show_default=True, help="Penalty on filters' roughness."),
        click.option("--lasso", type=float, default=0.0, show_default=True, help="Penalty on absolute weights."),
        click.option(
            "--group-lasso", type=float, default=0.0, show_default=True, help="Penalty that drops whole pairs."
        ),
        click.option("--jobs", type=int, default=1, show_default=True, help="Processes sharing the units (joblib)."),
        click.option("--cluster", default=None, metavar="ADDRESS|FILE", help="Dask cluster to share the units on."),
        click.option("--refractory-bins", type=int, default=0, show_default=True, help="Lags where a rate is zero."),
        click.option("--threads", type=int, default=1, show_default=True, help="Threads sharing the work."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def parse_leads(text: str) -> tuple:
    """Return leads from ``0,1,2`` or an inclusive range ``-3:3``; one tuple a covariate from ``0:5;1:5``."""
    from bmi_runtime.errors import BadInput

    if ";" in text:
        return tuple(parse_leads(part.strip()) for part in text.split(";"))
    try:
        if ":" in text:
            low, high = (int(part) for part in text.split(":"))
            if low > high:
                raise ValueError
            return tuple(range(low, high + 1))
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise BadInput(f"leads '{text}' must be whole numbers of bins, such as 0,1,2 or -3:3") from None


def _reach(text: str | None, history_bins: int, areas, units: int):
    """Return how many past bins act on whom, (targets, sources), from ``own=20,other=10,M1-PMv=5``, or None."""
    import numpy as np

    from bmi_runtime.errors import BadInput

    if text is None:
        return None
    reach, own = np.full((units, units), history_bins), np.eye(units, dtype=bool)
    labels = np.asarray(areas if areas else ["all"] * units)
    blocks = {f"{target}-{source}": (target, source) for target in set(labels) for source in set(labels)}
    for part in text.split(","):
        name, _, bins = part.strip().partition("=")
        if not bins.isdigit() or int(bins) > history_bins:
            raise BadInput(f"--reach {part}: give BLOCK=BINS with 0 to {history_bins} bins (--history-bins)")
        if name in ("own", "other"):
            chosen = own if name == "own" else ~own
        elif name in blocks:
            chosen = (labels[:, None] == blocks[name][0]) & (labels == blocks[name][1]) & ~own
        else:
            raise BadInput(f"--reach names no block '{name}'; choose from own, other, {', '.join(sorted(blocks))}")
        reach[chosen] = int(bins)
    return reach


def _load(path):
    """Return data of an ``.npz``, or of any recording that ``bmi decode`` reads."""
    import pathlib

    from bmi_runtime.analysis.glm.files import Data, load_data

    if pathlib.Path(path).suffix == ".npz" or not pathlib.Path(path).exists():
        return load_data(path)
    from bmi_runtime.sources.datafile import load_recording

    found = load_recording(path)
    tables = {"velocity": found.velocity} | ({} if found.position is None else {"position": found.position})
    return Data(found.counts, found.bin_s, tables)


def _model(options, loaded, **more):
    from bmi_runtime.analysis.glm import PoissonGLM

    more["reach"] = _reach(options["reach"], options["history_bins"], loaded.areas, loaded.counts.shape[-1])
    names = ["history_bins", "basis", "coupling", "link", "ridge", "smooth", "lasso", "group_lasso"]
    names += ["refractory_bins", "threads"]
    chosen = {name: options[name] for name in names} | {"jobs": _jobs(options)}
    return PoissonGLM(**chosen, leads=parse_leads(options["leads"]), **more)


def _family_model(family, options, loaded):
    """Return a model of another family; what it does not have is refused."""
    from bmi_runtime.analysis.glm.family_model import FamilyGLM
    from bmi_runtime.errors import BadInput

    absent = {"link": "exponential", "smooth": 0.0, "lasso": 0.0, "group_lasso": 0.0, "refractory_bins": 0}
    for name, usual in absent.items():
        if options[name] != usual:
            raise BadInput(f"--{name.replace('_', '-')} goes with the poisson family only, not with {family}")
    chosen = {name: options[name] for name in ("history_bins", "basis", "coupling", "ridge")}
    reach = _reach(options["reach"], options["history_bins"], loaded.areas, loaded.counts.shape[-1])
    return FamilyGLM(family, **chosen, leads=parse_leads(options["leads"]), reach=reach)


def _jobs(options) -> int:
    """Return how many processes share the work: on a cluster, all of its, unless a number was asked for."""
    return -1 if options["cluster"] and options["jobs"] == 1 else options["jobs"]


def _workers(options):
    from bmi_runtime.cluster import joblib_on

    return joblib_on(options["cluster"])


@glm.command(name="bin")
@click.argument("spikes", metavar="SPIKES")
@click.option("--bin-s", type=float, default=0.001, show_default=True, help="Width of a bin.")
@click.option("--units", default=None, metavar="NAMES", help="Which units, as 2,3 (as `bmi inspect` names them).")
@click.option("--segment", type=int, default=None, help="Which stretch without a break, from 1; the longest if absent.")
@click.option("--tick-s", type=float, default=None, help="What a tick of a .gdf file is, s.  [default: 0.001]")
@click.option("--out", type=OutFile(), required=True, help="Where to write the counts (.npz).")
@answer_options
def bin_spikes(spikes, bin_s, units, segment, tick_s, out, as_json):
    """Count the spikes of SPIKES (.gdf, .h5, .nwb, or an acquisition system's file) in bins, for the other verbs."""
    import pathlib

    import numpy as np

    from bmi_runtime.errors import BadInput
    from bmi_runtime.outputs import write_npz
    from bmi_runtime.sources.spike_counts import count_spikes

    path = pathlib.Path(spikes)
    if not path.exists():
        raise BadInput(f"there is no file '{spikes}'")
    named = None if units is None else [name.strip() for name in units.split(",") if name.strip()]
    found = count_spikes(path, bin_s, named, segment, tick_s)
    write_npz(out, counts=found.counts, bin_s=bin_s, unit_names=np.array(found.unit_names))
    result = {"bins": len(found.counts), "bin_s": bin_s, "units": len(found.unit_names), "spikes": found.spikes}
    result |= {"spikes_left_out": found.left_out, "unit_names": found.unit_names, "segment": found.segment}
    result |= {"segments": found.segments, "segment_s": found.segment_s, "out": out}
    if found.left_out:
        where = f"outside segment {found.segment} of {found.segments} and its whole bins"
        say(f"note: {found.left_out:,} spikes {where} are left out", as_json)
    shape = f"{len(found.unit_names)} units, {len(found.counts):,} bins of {bin_s:g} s, {found.spikes:,} spikes"
    answer(result, as_json, f"{shape}, written to {out}")


@glm.command()
@click.argument("data")
@_model_options
@click.option("--standard-errors", default="auto", show_default=True, help="auto, exact, sampled or none.")
@click.option("--test-fraction", type=float, default=0.0, show_default=True, help="Last part held out of the fit.")
@click.option("--tolerance", type=float, default=1e-8, show_default=True, help="Largest gradient of the mean.")
@click.option(
    "--family", default="poisson", show_default=True, help="poisson, bernoulli, negative-binomial or gaussian."
)
@click.option("--rank", type=int, default=0, help="Latent signals that carry the coupling; 0: every pair is free.")
@click.option("--out", type=OutFile(), default=None, help="Where to write the fit (.npz).")
@answer_options
def fit(data, standard_errors, test_fraction, tolerance, family, rank, out, as_json, **options):
    """Fit every unit of DATA (.npz with counts, bin_s, optional covariates and areas)."""
    from bmi_runtime.analysis.glm import report
    from bmi_runtime.analysis.glm.files import choose_covariates, save_fit
    from bmi_runtime.analysis.glm.lowrank import fit_low_rank
    from bmi_runtime.errors import BadInput

    loaded = _load(data)
    table, names = choose_covariates(loaded, options["covariates"])
    if not 0 <= test_fraction < 1:
        raise BadInput(f"--test-fraction is {test_fraction}; it must be at least 0 and below 1")
    bins = len(loaded.counts)
    cut = bins - round(test_fraction * bins)
    if family == "poisson":
        model = _model(options, loaded, standard_errors=standard_errors, tolerance=tolerance)
    else:
        model = _family_model(family, options, loaded)
    began = time.process_time()
    with _workers(options), progress("fitting", total=1.0) as advance:
        seen = [0.0]

        def heard(fraction):
            advance(max(fraction - seen[0], 0.0))
            seen[0] = max(fraction, seen[0])

        part = None if table is None else table[:cut]
        about = {"bin_s": loaded.bin_s, "unit_names": loaded.unit_names, "report": heard}
        if rank:
            if family != "poisson":
                raise BadInput(f"--rank goes with the poisson family only, not with {family}")
            model = fit_low_rank(model, loaded.counts[:cut], part, rank, **about).model
        else:
            model.fit(loaded.counts[:cut], part, **about)
    unasked = [name for name in loaded.tables if name != "covariates"] if options["covariates"] == "auto" else []
    if unasked:
        model.notes_.append(f"DATA has {' and '.join(unasked)}, not in the fit: --covariates {','.join(unasked)}")
    for note in model.notes_:
        say(f"note: {note}", as_json)
    if out:
        save_fit(out, model, loaded.areas, names)
    result = report.fit_result(model)
    result["cpu_seconds"] = time.process_time() - began
    if cut < bins:
        held = None if table is None else table[cut:]
        result["bits_per_spike_held_out"] = model.bits_per_spike(loaded.counts[cut:], held)
        for name, bits in zip(model.unit_names_, result["bits_per_spike_held_out"]):
            if bits < -1:
                extra = "the exponential link extrapolates; use a ridge or --link softplus"
                say(f"note: {name} loses {-bits:.3g} bits per spike on the held-out bins ({extra})", as_json)
    answer(result, as_json, None if as_json else report.fit_text(model, result, out))


@glm.command()
@click.argument("fit_file", required=False)
@click.argument("data", required=False)
@click.option("--units", type=int, default=10, show_default=True)
@click.option("--bins", type=int, default=60_000, show_default=True)
@click.option("--bin-s", type=float, default=0.001, show_default=True)
@click.option("--rate-hz", type=float, default=15.0, show_default=True, help="Baseline rate.")
@click.option("--history-bins", type=int, default=50, show_default=True)
@click.option("--basis", default="raised-cosine:6", show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--out", type=OutFile(), required=True, help="Where to write the data (.npz).")
@answer_options
def simulate(fit_file, data, units, bins, bin_s, rate_hz, history_bins, basis, seed, out, as_json):
    """Draw spikes from FIT_FILE (covariates from DATA if it has any), or from a random network of two areas."""
    import numpy as np

    from bmi_runtime.analysis.glm.bases import parse_basis
    from bmi_runtime.analysis.glm.files import choose_covariates, load_fit
    from bmi_runtime.analysis.glm.simulation import branching_ratio, random_network, smooth_velocity
    from bmi_runtime.analysis.glm.simulation import simulate as draw
    from bmi_runtime.errors import BadInput
    from bmi_runtime.outputs import write_npz

    if min(units, bins) < 1 or not bin_s > 0 or not rate_hz > 0:
        raise BadInput("--units, --bins, --bin-s and --rate-hz must be positive")
    rng = np.random.default_rng(seed)
    if fit_file:
        model = load_fit(fit_file)
        table = choose_covariates(_load(data))[0] if data and model.standardisation_ else None
        bins = bins if table is None else len(table)
        counts, coupling = model.simulate(bins, table, seed), model.coupling_
        extra = {"bin_s": model.bin_s_ or bin_s} | ({} if table is None else {"covariates": np.asarray(table)})
    else:
        network = random_network(units, parse_basis(basis, history_bins), rng, rate_hz * bin_s)
        velocity = smooth_velocity(bins, bin_s, rng)
        coupling, drive = network.coupling, velocity @ network.covariate_weights.T
        counts = draw(network.intercept, coupling, bins, rng, drive)
        truth = {"intercept": network.intercept, "coupling": coupling, "covariate_weights": network.covariate_weights}
        extra = {"bin_s": bin_s, "velocity": velocity, "covariates": velocity, "areas": np.array(network.areas)}
        extra |= {f"true_{name}": value for name, value in truth.items()}
    write_npz(out, counts=counts.astype(np.uint16), **extra)
    rate = counts.mean(axis=0)
    result = {
        "bins": bins,
        "units": counts.shape[1],
        "spikes": int(counts.sum()),
        "mean_rate_hz": float(rate.mean() / extra["bin_s"]),
        "branching_ratio": branching_ratio(rate, coupling),
        "out": out,
    }
    answer(result, as_json)


@glm.command()
@click.argument("data")
@_model_options
@click.option(
    "--penalty",
    type=click.Choice(["ridge", "smooth", "lasso", "group_lasso"]),
    default="ridge",
    show_default=True,
    help="Which penalty to choose; the others stay as given.",
)
@click.option("--values", default="1e-6,1e-5,1e-4,1e-3,1e-2", show_default=True, help="The path of the penalty.")
@click.option("--folds", type=int, default=5, show_default=True, help="Contiguous blocks held out in turn.")
@answer_options
def select(data, penalty, values, folds, as_json, **options):
    """Choose a penalty for DATA by cross-validation over contiguous blocks of bins."""
    import numpy as np

    from bmi_runtime.analysis.glm.files import choose_covariates
    from bmi_runtime.analysis.glm.selection import cross_validate

    loaded = _load(data)
    table, _ = choose_covariates(loaded, options["covariates"])
    path, jobs = _path(values), _jobs(options)
    with _workers(options), progress("fitting", total=1.0) as advance:
        steps = iter(np.diff(np.linspace(0.0, 1.0, len(path) * folds + 1)))
        found = cross_validate(
            _model(options | {"jobs": 1, "cluster": None}, loaded),
            loaded.counts,
            table,
            parameter=penalty,
            values=path,
            folds=folds,
            jobs=jobs,
            report=lambda _: advance(next(steps)),
        )
    means = np.nanmean(found.bits_per_spike, axis=1)
    result = {
        "penalty": penalty,
        "values": path,
        "bits_per_spike": means,
        "best": found.best,
        "best_per_unit": found.best_per_unit,
    }
    lines = [f"{penalty:>12}  held-out bits/spike, mean over units"]
    lines += [f"{value:>12g}  {bits:.4f}{' <- best' * (value == found.best)}" for value, bits in zip(path, means)]
    if found.best in (min(path), max(path)) and len(path) > 1:
        lines.append(f"the best value is at the end of the path: give more --values beyond {found.best:g}")
    answer(result, as_json, None if as_json else "\n".join(lines))


def _path(text: str) -> list[float]:
    """Return the numbers of a list such as 1e-6,1e-4."""
    from bmi_runtime.errors import BadInput

    try:
        path = [float(part) for part in text.split(",")]
    except ValueError:
        path = []
    if not path or min(path) < 0 or max(path) == float("inf"):
        raise BadInput(f"--values is '{text}'; it must be numbers of at least 0 with commas between, such as 1e-6,1e-4")
    return path


@glm.command()
@click.argument("data")
@_model_options
@click.option("--test-fraction", type=float, default=0.2, show_default=True, help="Held out for goodness of fit.")
@click.option("--level", type=float, default=0.05, show_default=True, help="False-discovery rate.")
@answer_options
def test(data, test_fraction, level, as_json, **options):
    """Test what drives the units of DATA: history, areas, kinematics, pairs; and how well the full model fits."""
    from bmi_runtime.analysis.glm import report
    from bmi_runtime.analysis.glm.files import choose_covariates
    from bmi_runtime.analysis.glm.inference import block_report, nested_tests, wald_tests
    from bmi_runtime.errors import BadInput

    loaded = _load(data)
    table, _ = choose_covariates(loaded, options["covariates"])
    if not 0 < test_fraction < 1:
        raise BadInput(f"--test-fraction is {test_fraction}; it must be between 0 and 1")
    cut = len(loaded.counts) - round(test_fraction * len(loaded.counts))
    train = (loaded.counts[:cut], None if table is None else table[:cut])
    held = (loaded.counts[cut:], None if table is None else table[cut:])
    template = _model(options, loaded)
    with _workers(options), progress("testing", total=4) as advance:
        steps = nested_tests(template, *train, loaded.areas, unit_names=loaded.unit_names)
        advance(2)
        model = template.fit(*train, bin_s=loaded.bin_s, unit_names=loaded.unit_names)
        wald = wald_tests(model)
        advance()
        fit = report.goodness_of_fit(model, held, loaded.bin_s)
        advance()
    for note in model.notes_:
        say(f"note: {note}", as_json)
    result = {
        "steps": steps.steps,
        "log_likelihood": steps.log_likelihood,
        "likelihood_ratio_p": steps.p_values,
        "degrees_of_freedom": steps.degrees,
        "pairs": report.significant_pairs(model, wald, level),
        "blocks": block_report(model, loaded.areas or ["all"] * len(model.intercept_), wald, level),
        "separated": model.separated_,
        "branching_ratio": model.branching_ratio(),
        **fit,
        "meaning": "effective connectivity: a coupling may be indirect or due to unrecorded common input",
    }
    answer(result, as_json, None if as_json else report.tests_text(result))


@glm.command()
@click.argument("fit_file")
@click.argument("data", required=False)
@click.option("--kinds", default="filters,matrix,network,areas,ks,tuning", show_default=True, help="Which pictures.")
@click.option("--covariates", default="auto", help="As for fit.")
@click.option("--prefix", default="glm_", show_default=True, help="Files are PREFIXkind.png.")
@click.option("--gui", is_flag=True, help="Show the coupling matrix and the filters in a window instead.")
@answer_options
def plot(fit_file, data, kinds, covariates, prefix, gui, as_json):
    """Draw FIT_FILE; the KS plot and the tuning also need the DATA it was fitted to."""
    import pathlib

    if gui:
        from bmi_runtime.cli.analysis_view import show_file

        show_file("couplings", fit_file, as_json)
        return

    from bmi_runtime.analysis.glm import plots, report
    from bmi_runtime.analysis.glm.files import choose_covariates, load_fit
    from bmi_runtime.errors import BadInput

    model = load_fit(fit_file)
    wanted = kinds.split(",")
    for kind in wanted:
        if kind not in plots.KINDS:
            raise BadInput(f"there is no picture '{kind}'; choose from {', '.join(plots.KINDS)}")
    figures = {
        "filters": plots.plot_filters,
        "matrix": plots.plot_matrix,
        "network": plots.plot_network,
        "areas": plots.plot_areas,
    }
    drawn = {kind: figures[kind](model) for kind in wanted if kind in figures}
    if data and {"ks", "tuning"} & set(wanted):
        loaded = _load(data)
        table, _ = choose_covariates(loaded, covariates)
        drawn |= report.data_figures(model, loaded, table, wanted)
    pathlib.Path(prefix).parent.mkdir(parents=True, exist_ok=True)
    files = [plots.save(figure, pathlib.Path(f"{prefix}{kind}.png")) for kind, figure in drawn.items()]
    for kind in wanted:
        if kind not in drawn:
            say(f"note: {kind} was not drawn; it needs DATA (and tuning needs velocity in it)", as_json)
    answer({"files": files}, as_json, "\n".join(files))


@glm.command()
@click.argument("fit_file")
@click.option("--out", type=OutFile(), required=True, help="Where to write the encoding model (.npz).")
@click.option("--columns", default="0,1", show_default=True, help="Which covariates are the velocity.")
@click.option("--velocity-unit", default="m/s", show_default=True, help="m/s, dm/s, cm/s or mm/s.")
@answer_options
def export(fit_file, out, columns, velocity_unit, as_json):
    """Write FIT_FILE as an encoding model for a live session (gains per dm/s, rates in hertz)."""
    from bmi_runtime.analysis.glm.export import encoding_arrays
    from bmi_runtime.analysis.glm.files import open_npz
    from bmi_runtime.errors import BadInput
    from bmi_runtime.outputs import write_npz

    try:
        chosen = tuple(int(column) for column in columns.split(","))
    except ValueError:
        raise BadInput(f"columns '{columns}' must be numbers such as 0,1") from None
    needed = ("intercept", "covariate_weights", "link", "leads", "bin_s", "unit_names")
    arrays, notes = encoding_arrays(open_npz(fit_file, needed), chosen, velocity_unit)
    for note in notes:
        say(f"note: {note}", as_json)
    write_npz(out, **arrays)
    result = {"units": len(arrays["weights"]), "dimensions": len(chosen), "bin_s": float(arrays["bin_s"]), "out": out}
    answer(result, as_json)
