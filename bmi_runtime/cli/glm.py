"""``bmi glm``: simulate, fit, test, plot and export coupled Poisson GLMs."""

import os

# Set before numpy is loaded: on small matrices a second BLAS thread only burns processor time.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import resource  # noqa: E402
import time  # noqa: E402

import click  # noqa: E402

from bmi_runtime.cli.common import answer, answer_options, progress, say  # noqa: E402


@click.group()
def glm():
    """Coupled Poisson GLMs (self-history, coupling between units and areas, kinematics) of a whole array."""


def _model_options(function):
    options = [
        click.option("--history-bins", type=int, default=20, show_default=True, help="Past bins that act on a rate."),
        click.option("--basis", default="raw", show_default=True, help="raw, raised-cosine:N, b-spline:N, ..."),
        click.option("--covariates", default="auto", help="all, none, or a list such as velocity or velocity:0."),
        click.option("--leads", default="0", show_default=True, help="Bins covariates run ahead, e.g. 0,1,2 or -3:3."),
        click.option("--coupling", default="all", show_default=True, help="Whose past acts: all, own or none."),
        click.option("--link", default="exponential", show_default=True, help="exponential or softplus."),
        click.option("--ridge", type=float, default=0.0, show_default=True, help="Penalty per bin on squared weights."),
        click.option("--smooth", type=float, default=0.0, show_default=True, help="Penalty on filters' roughness."),
        click.option("--refractory-bins", type=int, default=0, show_default=True, help="Lags where a rate is zero."),
        click.option("--threads", type=int, default=1, show_default=True, help="Threads sharing the work."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def parse_leads(text: str) -> tuple[int, ...]:
    """Return leads from ``0,1,2`` or an inclusive range ``-3:3``."""
    from bmi_runtime.errors import BadInput

    try:
        if ":" in text:
            low, high = (int(part) for part in text.split(":"))
            return tuple(range(low, high + 1))
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise BadInput(f"leads '{text}' must be whole numbers of bins, such as 0,1,2 or -3:3") from None


def _load(path):
    """Return data of an ``.npz``, or of any recording that ``bmi decode`` reads."""
    from bmi_runtime.analysis.glm.files import load_data

    return load_data(path)


def _model(options, **more):
    from bmi_runtime.analysis.glm import PoissonGLM

    names = ("history_bins", "basis", "coupling", "link", "ridge", "smooth", "refractory_bins", "threads")
    chosen = {name: options[name] for name in names}
    return PoissonGLM(**chosen, leads=parse_leads(options["leads"]), **more)


def peak_memory_mb() -> float:
    """Return the largest resident size of this process so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@glm.command()
@click.argument("data")
@_model_options
@click.option("--standard-errors", default="auto", show_default=True, help="auto, exact, sampled or none.")
@click.option("--test-fraction", type=float, default=0.0, show_default=True, help="Last part held out of the fit.")
@click.option("--tolerance", type=float, default=1e-8, show_default=True, help="Largest gradient of the mean.")
@click.option("--out", default=None, help="Where to write the fit (.npz).")
@answer_options
def fit(data, standard_errors, test_fraction, tolerance, out, as_json, **options):
    """Fit every unit of DATA (.npz with counts, bin_s, optional covariates and areas)."""
    from bmi_runtime.analysis.glm.files import choose_covariates, save_fit
    from bmi_runtime.errors import BadInput

    loaded = _load(data)
    table, names = choose_covariates(loaded, options["covariates"])
    if not 0 <= test_fraction < 1:
        raise BadInput(f"--test-fraction is {test_fraction}; it must be at least 0 and below 1")
    bins = len(loaded.counts)
    cut = bins - round(test_fraction * bins)
    model = _model(options, standard_errors=standard_errors, tolerance=tolerance)
    began = time.process_time()
    with progress("fitting", total=1.0) as advance:
        seen = [0.0]

        def report(fraction):
            advance(max(fraction - seen[0], 0.0))
            seen[0] = max(fraction, seen[0])

        part = None if table is None else table[:cut]
        model.fit(loaded.counts[:cut], part, bin_s=loaded.bin_s, unit_names=loaded.unit_names, report=report)
    for note in model.notes_:
        say(f"note: {note}", as_json)
    if out:
        save_fit(out, model, loaded.areas, names)
    result = _fit_result(model)
    result["cpu_seconds"] = time.process_time() - began
    if cut < bins:
        held = None if table is None else table[cut:]
        result["bits_per_spike_held_out"] = model.bits_per_spike(loaded.counts[cut:], held)
    answer(result, as_json, None if as_json else _fit_text(model, result, out))


def _fit_result(model) -> dict:
    """Return the JSON of a fit; per-unit values are lists in the order of the units."""
    return {
        "log_likelihood": model.log_likelihood_ - model.log_factorial_,
        "log_likelihood_without_ln_factorial": model.log_likelihood_,
        "deviance_explained": model.deviance_explained_,
        "bits_per_spike": model.bits_per_spike_,
        "gradient_max": float(model.gradient_max_.max(initial=0.0)),
        "gradient_max_per_unit": model.gradient_max_,
        "iterations": int(model.iterations_.max(initial=0)),
        "converged": model.converged_,
        "interrupted": model.interrupted_,
        "separated": model.separated_,
        "notes": model.notes_,
        "bins": model.design_.rows,
        "parameters_per_unit": model.design_.parameters,
        "standard_errors_method": model.standard_errors_method_,
        "seconds": model.seconds_,
        "peak_memory_mb": peak_memory_mb(),
    }


def _fit_text(model, result, out) -> str:
    """Return a table for a person."""
    import io

    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{len(model.intercept_)} units, {model.design_.parameters} coefficients each")
    for heading in ("unit", "spikes", "ln L (with ln y!)", "deviance explained", "bits/spike", "separated"):
        table.add_column(heading, justify="left" if heading == "unit" else "right")
    apart = [sum(entry["target"] == unit for entry in model.separated_) for unit in range(len(model.intercept_))]
    for unit, name in enumerate(model.unit_names_):
        values = (result["log_likelihood"][unit], model.deviance_explained_[unit], model.bits_per_spike_[unit])
        shown = (f"{values[0]:.2f}", f"{values[1]:.4f}", f"{values[2]:.4f}")
        table.add_row(name, f"{model.spikes_[unit]:.0f}", *shown, str(apart[unit] or ""))
    stream = io.StringIO()
    Console(file=stream, width=110).print(table)
    lines = [stream.getvalue().rstrip()]
    lines += [f"separated: {entry['meaning']}" for entry in model.separated_[:20]]
    if len(model.separated_) > 20:
        lines.append(f"... and {len(model.separated_) - 20} more separated couplings (all in --json)")
    lines.append(
        f"largest gradient {result['gradient_max']:.1e} after {result['iterations']} iterations, "
        f"{result['seconds']:.2f} s, {result['peak_memory_mb']:.0f} MB; "
        f"standard errors: {model.standard_errors_method_}"
    )
    lines.append("couplings are effective connectivity: they may be indirect or due to unrecorded common input")
    if out:
        lines.append(f"written to {out}")
    return "\n".join(lines)
