"""``bmi calibrate``: learning rate to steady-state error and convergence time, and back."""

import click

from bmi_runtime.cli.common import answer, answer_options, say

MOST_ROWS = 24


@click.command()
@click.argument("design", required=False, type=click.Path())
@click.option("--likelihood", type=click.Choice(["gaussian", "poisson"]), help="What the units' features are.")
@click.option("--learning-rate", type=float, metavar="X", help="Forward: predict what this rate (per bin) does.")
@click.option("--max-error", type=float, metavar="V", help="Backward: the fastest rate with error variance at most V.")
@click.option(
    "--max-convergence-time", type=float, metavar="S", help="Backward: the least error, converged within S s."
)
@click.option("--counts", type=click.Choice(["bernoulli", "poisson"]), default="bernoulli", show_default=True,
              help="Whether a bin holds at most one spike, or any number.")  # fmt: skip
@click.option("--threshold", type=float, default=0.05, show_default=True, metavar="SHARE",
              help="Converged when the mean error is down to this share of its start.")  # fmt: skip
@click.option("--initial-covariance", type=float, metavar="V",
              help="Variance of every weight at the start; the steady one by default.")  # fmt: skip
@click.option("--exact/--no-exact", default=True, show_default=True, help="Run the exact recursion as well.")
@click.option("--drift", type=float, metavar="Q",
              help="Variance per bin of the truth's random walk: adds the error and the best rate.")  # fmt: skip
@click.option("--write", type=click.Path(), metavar="FILE.toml",
              help="Put the rate into this configuration as adapter.learning_rate, commented.")  # fmt: skip
@answer_options
def calibrate(design, likelihood, learning_rate, max_error, max_convergence_time, counts, threshold,
              initial_covariance, exact, drift, write, as_json):  # fmt: skip
    """Calculate a learning rate for the units and the task in DESIGN.npz, or what a given rate does.

    DESIGN.npz holds `states` (bins x dims: a period, or an ergodic sample, of what the units encode; velocity in dm/s
    in this project), `weights` (units x (1 + dims): baseline, then gains; log rate in log Hz for Poisson), `bin_s` and,
    for Gaussian units, `noise_variance`. Both bounds together ask for the fastest rate that keeps both.
    """
    from bmi_runtime.calibration.design import load_design
    from bmi_runtime.calibration.forward import predict
    from bmi_runtime.errors import BadInput

    if design is None:
        raise BadInput("give a DESIGN.npz, with the states of the task and the weights of the units")
    if likelihood is None:
        raise BadInput("say --likelihood gaussian or --likelihood poisson")
    loaded = load_design(design, likelihood, counts)
    info, found = _rate(loaded, learning_rate, max_error, max_convergence_time, threshold, initial_covariance)
    rate = learning_rate if found is None else found.learning_rate
    prediction = predict(loaded, rate, threshold, initial_covariance, exact, info)
    result = _result(prediction, found) | _drifting(info, rate, drift)
    if write is not None:
        _write(write, design, prediction, found)
        result["written"] = write
    if not prediction.validity["trustworthy"]:
        say(f"note: {prediction.validity['verdict']}", as_json=True)
    answer(result, as_json, "" if as_json else _text(prediction, found))


def _rate(design, learning_rate, max_error, max_convergence_time, threshold, initial_covariance):
    """Return the design's information and the answer to the wish, None for a given rate."""
    from bmi_runtime.calibration.closed_form import check_threshold, information
    from bmi_runtime.calibration.inverse import answer_wish
    from bmi_runtime.errors import BadInput

    wishes = [max_error, max_convergence_time]
    if (learning_rate is None) == all(wish is None for wish in wishes):
        raise BadInput("give either --learning-rate, or --max-error and/or --max-convergence-time")
    check_threshold(threshold)
    info = information(design)
    if learning_rate is not None:
        return info, None
    return info, answer_wish(design, info, max_error, max_convergence_time, threshold, initial_covariance)


def _drifting(info, rate, drift) -> dict:
    """Return what a drifting truth changes, nothing without a drift."""
    if drift is None:
        return {}
    from bmi_runtime.calibration.drift import best_rate, drifting_error

    return {
        "drift": drift,
        "best_learning_rate": best_rate(info, drift),
        "error_covariance_drifting": drifting_error(info, rate, drift),
    }


def _write(path, design, prediction, found) -> None:
    """Write the rate into a configuration whose bins are those of the design."""
    import datetime
    import pathlib

    from bmi_runtime.calibration.write import write_learning_rate

    why = (
        "a given learning rate"
        if found is None
        else f"{found.wish}; unit {prediction.design.names[found.binding_unit]} binds"
    )
    origin = (
        f"{datetime.date.today().isoformat()}, from {pathlib.Path(design).name} ({prediction.design.likelihood}, "
        f"{prediction.design.units} units), {why}; predicted error sd "
        f"{prediction.closed.largest_error.max() ** 0.5:.3g}, "
        f"converges in {prediction.convergence_bins.max() * prediction.design.bin_s:.3g} s"
    )
    write_learning_rate(path, float(prediction.closed.rate[0]), origin, prediction.design.bin_s)


def _result(prediction, found) -> dict:
    """Return the answer under the keys that the command promises."""
    design = prediction.design
    units = [prediction.unit(index) for index in range(design.units)]
    result = {
        "learning_rate": units[0]["learning_rate"],
        "bin_s": design.bin_s,
        "threshold": prediction.threshold,
        "likelihood": design.likelihood,
        "counts": design.counts if design.likelihood == "poisson" else None,
        "initial_covariance": "steady" if prediction.initial_covariance is None else prediction.initial_covariance,
        "largest_error_variance": prediction.closed.largest_error.max(),
        "longest_convergence_time_s": prediction.convergence_bins.max() * design.bin_s,
        "validity": prediction.validity,
    }
    if found is not None:
        for unit, alone in zip(units, found.per_unit):
            unit["learning_rate_alone"] = alone
        result |= {"wish": found.wish, "binding_unit": design.names[found.binding_unit]}
    return result | {"units": units}


def _text(prediction, found) -> str:
    """Return the answer for a person: the rate, why, and one line per unit."""
    import io

    import numpy as np
    from rich.console import Console
    from rich.table import Table

    design, closed = prediction.design, prediction.closed
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("unit", "error sd", "(exact)", "filter's sd", "converges in", "(exact)", "slowest direction"):
        table.add_column(title, justify="left" if title in ("unit", "slowest direction") else "right")
    exact = prediction.exact_covariance
    for unit in range(min(design.units, MOST_ROWS)):
        slowest = int(np.argmax(prediction.convergence_bins[unit]))
        times = prediction.exact_convergence_bins
        table.add_row(
            design.names[unit],
            f"{np.sqrt(closed.largest_error[unit]):.4g}",
            "-" if exact is None else f"{np.sqrt(np.linalg.eigvalsh(exact[unit])[-1]):.4g}",
            f"{np.sqrt(closed.filter_variance[unit].max()):.4g}",
            f"{prediction.convergence_bins[unit].max() * design.bin_s:.4g} s",
            "-" if times is None else f"{times[unit].max() * design.bin_s:.4g} s",
            ", ".join(f"{x:+.2f}" for x in closed.information.directions[unit, :, slowest]),
        )
    buffer = io.StringIO()
    Console(file=buffer, width=110).print(table)
    more = f"... and {design.units - MOST_ROWS} more units\n" if design.units > MOST_ROWS else ""
    why = "" if found is None else f" for {found.wish}; unit {design.names[found.binding_unit]} binds"
    start = "its steady value" if prediction.initial_covariance is None else f"{prediction.initial_covariance:g}"
    return (
        f"learning rate {closed.rate[0]:.6g} per bin of {1e3 * design.bin_s:g} ms{why}\n\n{buffer.getvalue()}{more}\n"
        f"error sd: worst direction of (baseline, gains), truth constant; converged: mean error down to "
        f"{prediction.threshold:.3g} of its start, covariance starting at {start}\n"
        f"validity: {prediction.validity['verdict']} "
        f"(sweep {prediction.validity['sweep_time_s']:.3g} s, memory {prediction.validity['memory_s']:.3g} s)"
    )
