"""``bmi calibrate --write``: the calculated settings go into a configuration."""

from __future__ import annotations

from bmi_runtime.cli.calibrate_dials import dial_settings, why_not_written


def check_valid(prediction, method, options) -> None:
    """Refuse to write what was computed outside its validity, unless --force says so."""
    from bmi_runtime.calibration.validity import objection
    from bmi_runtime.errors import BadInput

    why = objection(prediction, method)
    if why and not options["force"]:
        raise BadInput(f"{why} (nothing was written into {options['write']}; --force writes it all the same)")


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


def write_rate(options, prediction, found, result=None, outcomes=None) -> dict:
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
