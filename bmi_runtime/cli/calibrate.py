"""``bmi calibrate``: learning rate to steady-state error and convergence time, and back."""

import dataclasses

import click

from bmi_runtime.cli.calibrate_block import block_answer, block_options
from bmi_runtime.cli.calibrate_dials import check_dials, dial_options, dials_answer
from bmi_runtime.cli.calibrate_drift import drift_options, pilots_drift
from bmi_runtime.cli.calibrate_result import drifting_report, pilot_report, result_of
from bmi_runtime.cli.calibrate_task import TASK_WISHES, check_task_wishes, outcomes_of, task_rate
from bmi_runtime.cli.calibrate_text import summary
from bmi_runtime.cli.calibrate_write import check_valid, write_rate
from bmi_runtime.cli.common import answer, answer_options, say


@click.command()
@click.argument("design", required=False, type=click.Path())
@click.option("--from", "pilot", type=click.Path(), metavar="FILE",
              help="Estimate the design from a pilot: a recording or data file (.mcap, .npz, .mat, .nwb).")  # fmt: skip
@click.option("--likelihood", type=click.Choice(["gaussian", "poisson"]), help="What the units' features are.")
@click.option("--learning-rate", type=float, metavar="X", help="Forward: predict what this rate (per bin) does.")
@click.option("--max-error", type=float, metavar="V",
              help="Backward: the fastest rate with an error variance of the weights of at most V.")  # fmt: skip
@click.option("--max-error-sd", type=float, metavar="SD", help="The same as a standard deviation.")
@click.option("--max-velocity-error", type=float, metavar="CM_S",
              help="With a pilot: the fastest rate whose decoded velocity errs by at most this, cm/s.")  # fmt: skip
@click.option("--max-time-to-target", type=float, metavar="S",
              help="With a pilot: the fastest rate whose expected time to target is at most S s.")  # fmt: skip
@click.option("--min-hits-per-minute", type=float, metavar="N",
              help="With a pilot: the fastest rate with at least so many targets a minute expected.")  # fmt: skip
@click.option("--max-convergence-time", type=float, metavar="S",
              help="Backward: the least error, converged within S s.")  # fmt: skip
@click.option("--method", type=click.Choice(["adaptive", "smoothbatch", "rml", "readout"]), default="adaptive",
              show_default=True, help="What adapts; readout: the network of 'bmi train' given as DESIGN.")  # fmt: skip
@click.option("--half-life", type=float, metavar="S", help="Of smoothbatch and rml: predict what it does.")
@click.option("--batch", type=float, default=60.0, show_default=True, metavar="S", help="A batch of smoothbatch.")
@click.option("--counts", type=click.Choice(["bernoulli", "poisson"]),
              help="Whether a bin holds at most one spike (the default), or any number; a pilot tells.")  # fmt: skip
@click.option("--threshold", type=float, default=0.05, show_default=True, metavar="SHARE",
              help="Converged when the mean error is down to this share of its start.")  # fmt: skip
@click.option("--initial-covariance", type=float, metavar="V",
              help="Variance of every weight at the start; the steady one by default.")  # fmt: skip
@click.option("--exact/--no-exact", default=True, show_default=True, help="Run the exact recursion as well.")
@click.option("--drift", type=float, metavar="Q",
              help="Variance per bin of the truth's random walk: adds the error and the best rate.")  # fmt: skip
@click.option("--write", type=click.Path(), metavar="FILE.toml",
              help="Put the rate (and a session's gain and smoothing) into this configuration, commented.")  # fmt: skip
@click.option("--features", is_flag=True, help="Of a mixed session: calibrate its features, not its units.")
@click.option("--leave-out", default="", metavar="UNITS", help="Units of the pilot to leave out, as 3,7.")
@click.option("--velocity-scale", type=float, default=10.0, show_default=True,
              help="Multiplies a pilot's velocity; 10 takes m/s to the dm/s of the encoding model.")  # fmt: skip
@click.option(
    "--labels",
    type=click.Choice(["known", "inferred"]),
    default="known",
    show_default=True,
    help="Whether the taught state is the right one, or inferred and sometimes wrong.",
)
@click.option(
    "--label-error",
    type=float,
    default=0.1,
    show_default=True,
    metavar="P",
    help="With inferred labels: probability that one is wrong.",
)
@click.option(
    "--label-run",
    type=float,
    default=0.5,
    show_default=True,
    metavar="S",
    help="With inferred labels: how long a wrong one lasts on average, s.",
)
@drift_options
@block_options
@dial_options
@click.option("--force", is_flag=True, help="Take what is refused for being outside its validity.")
@click.option("--all-units", is_flag=True, help="Print every unit, not just the few that decide.")
@click.option("--gui", is_flag=True, help="Open a window with both trade-off curves, to drag the rate along them.")
@click.option("--picture", type=click.Path(), metavar="FILE.png", help="Render that window into a picture instead.")
@answer_options
def calibrate(as_json, **options):
    """Calculate a learning rate for the units and the task in DESIGN.npz, or what a given rate does.

    DESIGN.npz holds `states` (bins x dims: a period, or an ergodic sample, of what the units encode; velocity in dm/s
    in this project), `weights` (units x (1 + dims): baseline, then gains; log rate in log Hz for Poisson), `bin_s` and,
    for Gaussian units, `noise_variance`. Both bounds together ask for the fastest rate that keeps both.
    """
    from bmi_runtime.calibration.forward import predict

    _one_error_bound(options)
    check_task_wishes(options)
    check_dials(options)
    _check_target(options["write"])
    options["session"] = _session_config(options["pilot"])
    _take_own_rate(options)
    if options["method"] != "adaptive":
        _other_method(options, as_json)
        return
    design, fit, scores = _design(options)
    if options["gui"] or options["picture"]:
        _show(design, options)
        return
    if options["labels"] == "inferred":
        _with_labels(design, options, as_json)
        return
    outcomes = outcomes_of(scores, fit, options)
    info, found, method = _rate(design, scores, options, outcomes)
    rate = options["learning_rate"] if found is None else found.learning_rate
    threshold, initial = options["threshold"], options["initial_covariance"]
    prediction = predict(design, rate, threshold, initial, options["exact"], info, scores)
    result = result_of(prediction, found) | drifting_report(info, rate, options["drift"]) | {"method": method}
    if options["also"]:
        load = lambda path: _design(options | {"pilot": path})[2]  # noqa: E731
        result["drift_between_pilots"] = pilots_drift(options, scores, load)
    result |= block_answer(design, info, options, scores, rate)
    if fit is not None:
        result["pilot"] = pilot_report(fit, scores, options, prediction)
        if outcomes is not None:
            result["expected"] = dataclasses.asdict(outcomes.at(rate, options["gain"], options["smoothing"]))
        if outcomes is not None and options["dials"]:
            result["dials"] = dials_answer(outcomes, rate)
    if options["write"] is not None:
        if not options["own_rate"]:
            check_valid(prediction, method, options)
        result |= write_rate(options, prediction, found, result, outcomes)
    if not prediction.validity["trustworthy"] and method in ("given", "closed form"):
        say(f"note: {prediction.validity['verdict']}", as_json=True)
    answer(result, as_json, "" if as_json else summary(prediction, found, method, result, options["all_units"]))


def _other_method(options, as_json) -> None:
    """Answer for a method that is not our own filter over the units."""
    from bmi_runtime.cli.calibrate_methods import half_life_answer, readout_answer
    from bmi_runtime.errors import BadInput

    refused = [name for name in ("write", "gui", "picture", "drift", "initial_covariance") if options[name]]
    if refused:
        raise BadInput(f"--{refused[0].replace('_', '-')} is for --method adaptive")
    if options["method"] == "readout":
        if options["design"] is None:
            raise BadInput("--method readout takes the file of 'bmi train' in place of DESIGN")
        result, text = readout_answer(options["design"], options)
    else:
        result, text = half_life_answer(_design(options)[0], options)
    answer(result, as_json, text)


def _with_labels(design, options, as_json) -> None:
    """Answer for labels that are sometimes wrong."""
    from bmi_runtime.calibration.label_report import label_report

    result, text = label_report(design, options)
    answer(result, as_json, "" if as_json else text)


def _one_error_bound(options) -> None:
    """Turn a standard deviation that was asked for into the variance that everything else works with."""
    from bmi_runtime.errors import BadInput

    sd = options.pop("max_error_sd")
    if sd is None:
        return
    if options["max_error"] is not None:
        raise BadInput("give the error as a variance (--max-error) or as a standard deviation (--max-error-sd)")
    if not sd > 0:
        raise BadInput(f"an error of sd {sd:g} cannot be; give a standard deviation above zero")
    options["max_error"] = sd**2


def _check_target(path) -> None:
    """Refuse a configuration that could not be written, before the work."""
    from bmi_runtime.outputs import check_writable

    if path is not None:
        check_writable(path)


def _take_own_rate(options) -> None:
    """Without a rate and without a wish, answer for the rate at which the pilot's session learned."""
    from bmi_runtime.errors import BadInput

    options["own_rate"] = False
    if options["features"] and options["pilot"] is None:
        raise BadInput("--features is of the recording of a mixed session; give one with --from")
    asked = ("learning_rate", "max_error", "max_convergence_time", "half_life", *TASK_WISHES)
    if options["method"] != "adaptive" or any(options[name] is not None for name in asked):
        return
    config = options["session"]
    if config is None:
        return
    adapter = config.adapter
    rate = adapter.feature_learning_rate if options["features"] else adapter.learning_rate
    if not adapter.enabled or not rate > 0:
        raise BadInput(f"{options['pilot']} did not adapt; give --learning-rate, or a bound such as --max-error")
    options |= {"learning_rate": rate, "own_rate": True}
    say(f"learning rate {rate:g}: the session's own, for no other was asked for", as_json=True)


def _session_config(pilot):
    """Return the configuration of the session that a pilot is, None where it is not a session."""
    from bmi_runtime import config as configuration
    from bmi_runtime.calibration.pilot_files import opened

    if pilot is None or not str(pilot).lower().endswith(".mcap"):
        return None
    recorded = configuration.as_recorded(opened(pilot).header.get("config") or {})
    return configuration.from_dict(recorded, str(pilot))


def _design(options):
    """Return the design that was given or estimated, the pilot's fit and its scores (None for a given one)."""
    from bmi_runtime.calibration.design import load_design
    from bmi_runtime.errors import BadInput

    path, pilot, likelihood = options["design"], options["pilot"], options["likelihood"]
    if (path is None) == (pilot is None):
        raise BadInput("give either a DESIGN.npz, with the task's states and the units' weights, or --from a pilot")
    if pilot is None:
        if likelihood is None:
            raise BadInput("say --likelihood gaussian or --likelihood poisson")
        return load_design(path, likelihood, options["counts"] or "bernoulli"), None, None
    from bmi_runtime.calibration.measured import MeasuredScores
    from bmi_runtime.calibration.pilot_files import load_pilot
    from bmi_runtime.calibration.screening import fit_usable

    left_out = tuple(name.strip() for name in options["leave_out"].split(",") if name.strip())
    loaded = load_pilot(pilot, likelihood, options["velocity_scale"], left_out, options["force"], options["features"])
    fit = fit_usable(loaded, options["counts"])
    return fit.design, fit, MeasuredScores(fit)


def _rate(design, scores, options, outcomes=None):
    """Return the design's information, the answer to the wish (None for a given rate), and how it was found."""
    from bmi_runtime.calibration.closed_form import check_threshold, information
    from bmi_runtime.calibration.solve import Wish, solve
    from bmi_runtime.errors import BadInput

    max_error, max_time = options["max_error"], options["max_convergence_time"]
    about_task = any(options[name] is not None for name in TASK_WISHES)
    if (options["learning_rate"] is None) == (max_error is None and max_time is None and not about_task):
        raise BadInput("give either --learning-rate, or --max-error and/or --max-convergence-time")
    if about_task and (max_error is not None or max_time is not None):
        raise BadInput("ask either for errors and times of the weights, or for decoding and the task; not both at once")
    check_threshold(options["threshold"])
    info = information(design)
    if options["learning_rate"] is not None:
        return info, None, "given"
    if about_task:
        return info, task_rate(design, outcomes, options), "measured scores"
    return info, *solve(
        design, info, Wish(max_error, max_time, options["threshold"], options["initial_covariance"]), scores
    )


def _show(design, options) -> None:
    """Open the window; accepting a rate writes it when --write names a configuration."""
    from bmi_runtime.calibration.forward import predict
    from bmi_runtime.calibration.trade_off_curves import Curves
    from gui.calibration_view import picture, show

    curves = Curves(design, options["threshold"], options["initial_covariance"])
    bounds = {
        "rate": options["learning_rate"],
        "max_error_sd": None if options["max_error"] is None else options["max_error"] ** 0.5,
        "max_convergence_s": options["max_convergence_time"],
    }

    def write(rate):
        prediction = predict(design, rate, options["threshold"], options["initial_covariance"], exact=False)
        write_rate(options, prediction, None)
        say(f"learning rate {rate:.6g} written to {options['write']}")

    if options["picture"]:
        picture(curves, options["picture"], **bounds)
        return
    source = options["pilot"] or options["design"]
    show(curves, f"Learning-rate calibration: {source}", write if options["write"] else None, **bounds)
