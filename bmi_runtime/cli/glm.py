"""``bmi glm``: simulate, fit, test, plot and export coupled Poisson GLMs."""

import os

# Set before numpy is loaded: on small matrices a second BLAS thread only burns processor time.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import time  # noqa: E402

import click  # noqa: E402

from bmi_runtime.cli.common import OutFile, Verbs, answer, answer_options, progress, say  # noqa: E402
from bmi_runtime.cli.glm_data import bin_spikes, simulate  # noqa: E402
from bmi_runtime.cli.glm_options import (  # noqa: E402
    family_model_of,
    jobs_of,
    load,
    model_of,
    model_options,
    workers_of,
)


@click.group(cls=Verbs)
def glm():
    """Coupled Poisson GLMs (self-history, coupling between units and areas, kinematics) of a whole array."""


@glm.command()
@click.argument("data")
@model_options
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

    loaded = load(data)
    table, names = choose_covariates(loaded, options["covariates"])
    if not 0 <= test_fraction < 1:
        raise BadInput(f"--test-fraction is {test_fraction}; it must be at least 0 and below 1")
    bins = len(loaded.counts)
    cut = bins - round(test_fraction * bins)
    if family == "poisson":
        model = model_of(options, loaded, standard_errors=standard_errors, tolerance=tolerance)
    else:
        model = family_model_of(family, options, loaded)
    began = time.process_time()
    with workers_of(options), progress("fitting", total=1.0) as advance:
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
        model.notes_.append(f"not in the fit: {' and '.join(unasked)} of DATA (--covariates {','.join(unasked)})")
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
@click.argument("data")
@model_options
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

    loaded = load(data)
    table, _ = choose_covariates(loaded, options["covariates"])
    path, jobs = _path(values), jobs_of(options)
    with workers_of(options), progress("fitting", total=1.0) as advance:
        steps = iter(np.diff(np.linspace(0.0, 1.0, len(path) * folds + 1)))
        found = cross_validate(
            model_of(options | {"jobs": 1, "cluster": None}, loaded),
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
@model_options
@click.option("--test-fraction", type=float, default=0.2, show_default=True, help="Held out for goodness of fit.")
@click.option("--level", type=float, default=0.05, show_default=True, help="False-discovery rate.")
@answer_options
def test(data, test_fraction, level, as_json, **options):
    """Test what drives the units of DATA: history, areas, kinematics, pairs; and how well the full model fits."""
    from bmi_runtime.analysis.glm import report
    from bmi_runtime.analysis.glm.files import choose_covariates
    from bmi_runtime.analysis.glm.inference import block_report, nested_tests, wald_tests
    from bmi_runtime.errors import BadInput

    loaded = load(data)
    table, _ = choose_covariates(loaded, options["covariates"])
    if not 0 < test_fraction < 1:
        raise BadInput(f"--test-fraction is {test_fraction}; it must be between 0 and 1")
    cut = len(loaded.counts) - round(test_fraction * len(loaded.counts))
    train = (loaded.counts[:cut], None if table is None else table[:cut])
    held = (loaded.counts[cut:], None if table is None else table[cut:])
    template = model_of(options, loaded)
    with workers_of(options), progress("testing", total=4) as advance:
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
        loaded = load(data)
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


glm.add_command(bin_spikes)
glm.add_command(simulate)
