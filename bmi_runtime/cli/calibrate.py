"""``bmi calibrate``: learning rate to steady-state error and convergence time, and back."""

import dataclasses

import click

from bmi_runtime.cli.calibrate_block import block_answer, block_options
from bmi_runtime.cli.calibrate_dials import check_dials, dial_options, dial_settings, dials_answer, why_not_written
from bmi_runtime.cli.calibrate_drift import drift_options, pilots_drift
from bmi_runtime.cli.calibrate_text import summary
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
    _check_task_wishes(options)
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
    outcomes = _outcomes(scores, fit, options)
    info, found, method = _rate(design, scores, options, outcomes)
    rate = options["learning_rate"] if found is None else found.learning_rate
    threshold, initial = options["threshold"], options["initial_covariance"]
    prediction = predict(design, rate, threshold, initial, options["exact"], info, scores)
    result = _result(prediction, found) | _drifting(info, rate, options["drift"]) | {"method": method}
    if options["also"]:
        load = lambda path: _design(options | {"pilot": path})[2]  # noqa: E731
        result["drift_between_pilots"] = pilots_drift(options, scores, load)
    result |= block_answer(design, info, options, scores, rate)
    if fit is not None:
        result["pilot"] = _pilot(fit, scores, options, rate)
        if outcomes is not None:
            result["expected"] = dataclasses.asdict(outcomes.at(rate, options["gain"], options["smoothing"]))
        if outcomes is not None and options["dials"]:
            result["dials"] = dials_answer(outcomes, rate)
    if options["write"] is not None:
        if not options["own_rate"]:
            _check_writable(prediction, method, options)
        result |= _write(options, prediction, found, result, outcomes)
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


def _check_writable(prediction, method, options) -> None:
    """Refuse to write what was computed outside its validity, unless --force says so."""
    from bmi_runtime.calibration.validity import objection
    from bmi_runtime.errors import BadInput

    why = objection(prediction, method)
    if why and not options["force"]:
        raise BadInput(f"{why} (nothing was written into {options['write']}; --force writes it all the same)")


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


TASK_WISHES = {"max_velocity_error": "velocity_error_m_s", "max_time_to_target": "time_to_target_s",
               "min_hits_per_minute": "hits_per_minute"}  # fmt: skip
WORDS = {
    "max_velocity_error": "decoded velocity error at most {:g} cm/s",
    "max_time_to_target": "time to target at most {:g} s",
    "min_hits_per_minute": "at least {:g} hits per minute",
}


def _check_task_wishes(options) -> None:
    """Refuse wishes about decoding and the task that nothing can answer."""
    from bmi_runtime.errors import BadInput

    asked = [name for name in TASK_WISHES if options[name] is not None]
    if asked and options["pilot"] is None:
        raise BadInput(f"--{asked[0].replace('_', '-')} needs a pilot to decode; give one with --from")
    wrong = [name for name in asked if not options[name] > 0]
    if wrong:
        raise BadInput(f"--{wrong[0].replace('_', '-')} {options[wrong[0]]:g} cannot be; give a number above zero")


def _outcomes(scores, fit, options):
    """Return what predicts decoding and the task from a pilot; None without one, or where nothing can be said."""
    from bmi_runtime import config as configuration
    from bmi_runtime.calibration.outcomes import Outcomes
    from bmi_runtime.errors import BadInput

    if scores is None:
        return None
    config = options["session"]
    if why := _why_no_outcomes(fit, config):
        asked = [name for name in TASK_WISHES if options[name] is not None]
        if asked:
            raise BadInput(f"--{asked[0].replace('_', '-')} has no answer here: {why}")
        say(f"decoding error, pace, gain and smoothing cannot be calculated: {why}", as_json=True)
        return None
    if config is None:
        return Outcomes(scores, configuration.load())
    from bmi_runtime.calibration.pilot_files import load_screen

    return Outcomes(scores, config, load_screen(str(options["pilot"]), fit.pilot.usable))


def _why_no_outcomes(fit, config) -> str:
    """Return why nothing is said of decoding and the task, or nothing where something is."""
    from bmi_runtime.calibration.decodable import why_not_steered

    if config is not None and config.session.features and config.session.units:
        return "in a mixed session units and features are decoded together, and a pilot is one block of them"
    if fit.pilot.velocity.start == fit.pilot.velocity.stop:
        return "these units depend on the position, not on the velocity that is decoded"
    return why_not_steered(fit)


def _task_rate(design, outcomes, options):
    """Return the answer to wishes about decoding and the task: the slowest of the rates that each allows, or None."""
    import numpy as np

    from bmi_runtime.calibration.inverse import Answer

    found = []
    for name, measure in TASK_WISHES.items():
        if options[name] is not None:
            wanted = options[name] / 100 if name == "max_velocity_error" else options[name]
            found.append((outcomes.fastest(wanted, measure), WORDS[name].format(options[name])))
    if not found:
        return None
    rate = min(found)[0]
    largest = outcomes.scores.largest_scatter(outcomes.scores.at(rate))
    return Answer(rate, np.full(design.units, rate), int(np.argmax(largest)), " and ".join(words for _, words in found))


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
        return info, _task_rate(design, outcomes, options), "measured scores"
    return info, *solve(
        design, info, Wish(max_error, max_time, options["threshold"], options["initial_covariance"]), scores
    )


def _pilot(fit, scores, options, rate) -> dict:
    """Return what the pilot held and the 90 % intervals that its shortness leaves."""
    import numpy as np

    from bmi_runtime.calibration.closed_form import convergence_bins, initial_in_modes, steady_state
    from bmi_runtime.calibration.decodable import directions
    from bmi_runtime.calibration.inverse import answer_wish
    from bmi_runtime.calibration.pilot_remarks import remarks

    max_error, max_time = options["max_error"], options["max_convergence_time"]
    threshold, initial = options["threshold"], options["initial_covariance"]

    def wished(design, info):
        return answer_wish(design, info, max_error, max_time, threshold, initial).learning_rate

    def error(design, info):
        return float(steady_state(info, rate).largest_error.max())

    def time(design, info):
        start = initial_in_modes(info, initial)
        return float(convergence_bins(steady_state(info, rate), threshold, start).max() * design.bin_s)

    pilot, design = fit.pilot, fit.design
    state = scores.at(rate)
    found = scores.inflation(state)
    low, high = scores.interval(state)
    wishes = [] if max_error is None and max_time is None else [wished]
    names = ("largest_error_variance", "longest_convergence_time_s", "learning_rate")
    intervals = dict(zip(names, fit.intervals([error, time, *wishes])))
    intervals |= _widened(intervals, scores, state, rate, low, high)
    return {
        "seconds": len(pilot.states) * pilot.bin_s,
        "bins": len(pilot.states),
        "units": design.units,
        "counts": design.counts if design.likelihood == "poisson" else None,
        "state_rms": np.sqrt((pilot.states**2).mean(axis=0)),
        "regressors": list(pilot.kinds.places),
        "mean_rate_hz": pilot.counts.mean(axis=0) / pilot.bin_s if design.likelihood == "poisson" else None,
        "weights": design.weights,
        "noise_variance": design.noise if design.likelihood == "gaussian" else None,
        "interval_level": 0.9,
        "intervals": intervals,
        "drifting": [name for name, moves in zip(design.names, scores.drifting, strict=True) if moves],
        "memories": found.memories.min(axis=1),
        "score_dispersion": scores.dispersion(),
        "velocity_told": [{"direction": told.direction, "seconds": told.seconds} for told in directions(fit)],
        "error_factor_low": low,
        "error_factor_high": high,
        "set_aside": dict(pilot.set_aside),
        "remarks": remarks(fit),
    }


def _widened(intervals, scores, state, rate, low, high) -> dict:
    """Return the intervals of error and rate around the measured answer, with what its scores leave open.

    The closed form's interval (weights, states) and the inflation's are independent: their logarithms add in squares. A
    rate goes with the inverse square of the inflation.
    """
    import numpy as np

    largest = scores.largest_scatter(state)
    worst = int(np.argmax(largest))
    closed = state.largest_error.max()
    down = np.hypot(np.log(closed / intervals["largest_error_variance"][0]), np.log(low[worst]))
    up = np.hypot(np.log(intervals["largest_error_variance"][1] / closed), np.log(high[worst]))
    out = {"largest_error_variance": (largest[worst] * np.exp(-down), largest[worst] * np.exp(up))}
    if "learning_rate" in intervals:
        out["learning_rate"] = (rate * np.exp(-2 * up), rate * np.exp(2 * down))
    return out


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
        _write(options, prediction, None)
        say(f"learning rate {rate:.6g} written to {options['write']}")

    if options["picture"]:
        picture(curves, options["picture"], **bounds)
        return
    source = options["pilot"] or options["design"]
    show(curves, f"Learning-rate calibration: {source}", write if options["write"] else None, **bounds)


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


def _new_configuration(config, design) -> str:
    """Return what a configuration that is not there yet starts from: the session's own, or the bins of the design."""
    from bmi_runtime import config as configuration

    if config is None:
        given = {"bin_s": design.bin_s, "likelihood": design.likelihood, "units": design.units}
        return configuration.as_toml(configuration.from_dict({"session": given}))
    parts = {  # what was of the pilot alone: its file, how long it ran, and that nobody decoded
        "recording": config.recording.model_copy(update={"path": ""}),
        "session": config.session.model_copy(update={"duration_s": 0.0}),
        "task": config.task.model_copy(update={"assist": 0.0} if config.task.assist >= 1.0 else {}),
    }
    return configuration.as_toml(config.model_copy(update=parts))


def _write(options, prediction, found, result=None, outcomes=None) -> dict:
    """Write the rate, and what else was calculated, into a configuration whose bins are those of the design."""
    import datetime
    import pathlib

    from bmi_runtime.calibration.config_update import write_settings

    path, pilot = options["write"], options["pilot"]
    why = "the session's own learning rate" if options["own_rate"] else "a given learning rate"
    if found is not None:
        why = f"{found.wish}; unit {prediction.design.names[found.binding_unit]} binds"
    source = pathlib.Path(pilot or options["design"]).name
    design = prediction.design
    origin = f"{datetime.date.today().isoformat()}, from {source} ({design.likelihood}, {design.units} units)"
    told = (
        f"{origin}, {why}; predicted error sd {prediction.largest_error.max() ** 0.5:.3g}, "
        f"converges in {prediction.convergence_bins.max() * prediction.design.bin_s:.3g} s"
    )
    key = "adapter.feature_learning_rate" if options["features"] else "adapter.learning_rate"
    settings = {key: (float(prediction.closed.rate[0]), told)}
    dials = (result or {}).get("dials")
    reason = why_not_written(dials, outcomes.config) if dials else ""
    if dials and not reason:
        settings |= dial_settings(dials, origin)
    write_settings(path, settings, prediction.design.bin_s, _new_configuration(options["session"], prediction.design))
    told_of = {"written": path, "written_keys": list(settings)}
    return told_of | ({"not_written": f"gain and smoothing were not written: {reason}"} if reason else {})


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
        "largest_error_variance": prediction.largest_error.max(),
        "largest_error_sd": prediction.largest_error.max() ** 0.5,
        "longest_convergence_time_s": prediction.convergence_bins.max() * design.bin_s,
        "validity": prediction.validity,
    }
    if found is not None:
        for unit, alone in zip(units, found.per_unit):
            unit["learning_rate_alone"] = alone
        result |= {"wish": found.wish, "binding_unit": design.names[found.binding_unit]}
    return result | {"units": units}
