"""What ``bmi calibrate`` says to a person: the answer as text, and the few units that decide."""

from __future__ import annotations

import io

from bmi_runtime.cli.calibrate_block import block_text
from bmi_runtime.cli.calibrate_dials import dial_text
from bmi_runtime.cli.calibrate_drift import drift_text

FEW = 5  # units that are named
LEAST_MEMORIES = 3  # of a pilot, with which its slow fluctuations are seen
NOT_WHITE = 1.2  # times the closed form: from here on the scores are named as the reason; a short pilot may fall below
PILOT_NAMES = {
    "learning_rate": "learning rate",
    "largest_error_variance": "largest error variance",
    "longest_convergence_time_s": "longest convergence time (s)",
}


def summary(prediction, found, method, result, all_units: bool) -> str:
    """Return the answer as text: rate, what it does, the units that decide, whether it holds, what the pilot says.

    Parameters
    ----------
    prediction : Prediction
    found : Answer or None
        None where the rate was given.
    method : str
    result : dict
        The JSON answer, of which the pilot's part is told.
    all_units : bool
    """
    parts = [
        _headline(prediction, found, method),
        _what_it_does(prediction) + _expected(result.get("expected")),
        _table(prediction, all_units),
        _validity(prediction, method),
        _pilot(result.get("pilot")) + _drifting(prediction, found, result.get("pilot")),
        block_text(result),
        drift_text(result.get("drift_between_pilots")),
        dial_text(result.get("dials")),
        _written(result),
    ]
    return "\n\n".join(part for part in parts if part)


def _written(result) -> str:
    """Return what was written where."""
    if "written" not in result:
        return ""
    lines = [f"written into {result['written']}: {', '.join(result['written_keys'])}", result.get("not_written", "")]
    return "\n".join(line for line in lines if line)


def _headline(prediction, found, method) -> str:
    design = prediction.design
    why = "" if found is None else f" for {found.wish}; unit {design.names[found.binding_unit]} binds"
    line = f"learning rate {prediction.closed.rate[0]:.6g} per bin of {1e3 * design.bin_s:g} ms{why}"
    return line if found is None else f"{line}\nsolved with the {method}"


def _what_it_does(prediction) -> str:
    import numpy as np

    design = prediction.design
    sd, time_s = np.sqrt(prediction.largest_error), prediction.convergence_bins.max(axis=1) * design.bin_s
    kind = "measured" if prediction.measured_covariance is not None else "computed"
    middle, most = np.median(sd), sd.max()
    alone = prediction.departure is None
    how = "scatter around their best values with an sd" if alone else "are off by a root mean square"
    lines = [
        f"the weights {how} of {middle:.3g} (median unit) to {most:.3g} (worst), a variance of {middle**2:.3g} to "
        f"{most**2:.3g}, {kind}",
        f"a mean error is down to {prediction.threshold:.3g} of its start after {_seconds(np.median(time_s))} (median "
        f"unit) to {_seconds(time_s.max())} (slowest), covariance starting at {_start(prediction)}",
    ]
    if prediction.measured_covariance is not None:
        ratio = np.diagonal(prediction.measured_covariance, axis1=1, axis2=2) / np.diagonal(
            prediction.closed.error_covariance, axis1=1, axis2=2
        )
        low, high = np.quantile(ratio, [0.1, 0.9])
        why = ", because these units' scores are not white" if np.median(ratio) > NOT_WHITE else ""
        lines.append(
            f"that is {np.median(ratio):.2g} times the variance of the closed form (median; {low:.2g} to {high:.2g} "
            f"for eight weights in ten){why}"
        )
    return "\n".join(lines + _beyond_linear(prediction))


def _beyond_linear(prediction) -> list[str]:
    """Return what the linearised recursion leaves out, where that was simulated."""
    import numpy as np

    beyond = prediction.departure
    if beyond is None:
        return []
    linear = np.diagonal(prediction.linear_covariance, axis1=1, axis2=2)
    scatter = np.diagonal(prediction.simulated_scatter, axis1=1, axis2=2)
    wider, off = scatter[0] / linear[0], np.abs(beyond.bias_at(prediction.closed.rate)) / np.sqrt(scatter)
    bias = f"a bias of {np.nanmedian(off):.1g} (median weight) to {np.nanmax(off):.1g} sd"
    if prediction.measured_covariance is not None:
        lines = [f"that includes what the units' own past adds (the filter run along the pilot): {bias}"]
    else:
        why = "the units' own past" if prediction.design.own is not None else "so quick a filter"
        lines = [
            f"that includes what {why} adds (found by running the filter on spikes of such units): "
            f"{wider.min():.2f} to {wider.max():.2f} times the variance, and {bias}"
        ]
    if away := int(np.isnan(beyond.bias).any(axis=1).sum()):
        lines.append(f"{away} of {len(off)} units run away on their own spikes; of those the bias is not known")
    return lines


def _expected(expected) -> str:
    """Return what a pilot says about decoding and the task."""
    if expected is None:
        return ""
    reached = (
        f"{expected['time_to_target_s']:.3g} s to a target, {expected['hits_per_minute']:.3g} hits a minute, "
        f"{100 * expected['success_rate']:.0f} % reached"
        if expected["hits_per_minute"]
        else "no target is reached"
    )
    return (
        f"\nexpected with weights that err so: decoded velocity off by {100 * expected['velocity_error_m_s']:.3g} cm/s "
        f"(rms); {reached}, by a subject and in a task as configured"
    )


def _start(prediction) -> str:
    initial = prediction.initial_covariance
    return "its steady value" if initial is None else f"{initial:g}"


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value < 600 else f"{value / 60:.3g} min"


def _table(prediction, all_units: bool) -> str:
    """Return the units of the largest error, or all of them."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    design, closed = prediction.design, prediction.closed
    order = range(design.units) if all_units else np.argsort(-prediction.largest_error)[:FEW]
    table = Table(box=None, header_style="bold", pad_edge=False)
    best = "measured" if prediction.measured_covariance is not None else "exact"
    for title in ("unit", "error sd", f"({best})", "variance", "filter's sd", "converges in", "(exact)", "direction"):
        table.add_column(title, justify="left" if title in ("unit", "direction") else "right")
    times = prediction.exact_convergence_bins
    for unit in order:
        slowest = int(np.argmax(prediction.convergence_bins[unit]))
        table.add_row(
            design.names[unit],
            f"{np.sqrt(closed.largest_error[unit]):.3g}",
            f"{np.sqrt(prediction.largest_error[unit]):.3g}",
            f"{prediction.largest_error[unit]:.3g}",
            f"{np.sqrt(closed.filter_variance[unit].max()):.3g}",
            _seconds(prediction.convergence_bins[unit].max() * design.bin_s),
            "-" if times is None or np.isnan(times[unit]).any() else _seconds(times[unit].max() * design.bin_s),
            ", ".join(f"{x:+.2f}" for x in closed.information.directions[unit, :, slowest]),
        )
    buffer = io.StringIO()
    Console(file=buffer, width=118).print(table)
    left = design.units - len(order)
    more = f"\n... and {left} more units (--all-units)" if left > 0 else ""
    which = "all units" if left <= 0 else "the units with the largest error"
    about = f"{which}, worst direction of (baseline, gains), truth constant; closed form, then {best}:"
    return f"{about}\n{buffer.getvalue().rstrip()}{more}"


def _validity(prediction, method) -> str:
    trust = prediction.validity
    times = f"(sweep {trust['sweep_time_s']:.3g} s, memory {trust['memory_s']:.3g} s)"
    line = f"validity: {trust['verdict']} {times}"
    return line if method in ("given", "closed form") else f"{line}; this rate was solved with the {method}"


def _pilot(pilot) -> str:
    """Return the pilot's part of the answer."""
    if pilot is None:
        return ""
    rms = ", ".join(f"{value:.3g}" for value in pilot["state_rms"])
    lines = [
        f"pilot: {pilot['seconds']:.4g} s, {pilot['units']} units, encoded {', '.join(pilot['regressors'])} with rms "
        f"{rms} (dm/s expected: about 1)"
    ]
    shortest = min(pilot["memories"])
    if shortest < LEAST_MEMORIES:
        lines.append(_too_short(pilot, shortest))
    lines += pilot["remarks"]
    lines.append("90 % intervals that the pilot's length leaves:")
    lines += [f"  {PILOT_NAMES[key]}: {low:.3g} to {high:.3g}" for key, (low, high) in pilot["intervals"].items()]
    return "\n".join(lines)


def _too_short(pilot, shortest: float) -> str:
    """Return what a pilot that is few memories long leaves open, and which length would not."""
    import numpy as np

    low, high = np.array(pilot["error_factor_low"]), np.array(pilot["error_factor_high"])
    factor = float(np.median(np.maximum(high, 1.0 / low)))
    enough = pilot["seconds"] * LEAST_MEMORIES / shortest
    return (
        f"it is {shortest:.2g} memories long at this rate for the slowest unit: what slower fluctuations do is taken "
        f"from the longest memory that it shows, and a unit's error variance is known within a factor of {factor:.2g} "
        f"(90 %, median unit); {_seconds(enough)} would be {LEAST_MEMORIES} memories"
    )


def _drifting(prediction, found, pilot) -> str:
    """Return which units changed during the pilot, and what a wish leaves out of account for them."""
    import numpy as np

    if pilot is None or not pilot["drifting"]:
        return ""
    names = ", ".join(pilot["drifting"][:FEW]) + (" ..." if len(pilot["drifting"]) > FEW else "")
    some = [prediction.design.names.index(name) for name in pilot["drifting"]]
    largest = np.linalg.eigvalsh(prediction.measured_covariance[some])[:, -1].max()
    alone = np.linalg.eigvalsh(prediction.scatter_covariance[some])[:, -1].max()
    wish = "" if found is None else "; the wish counts the scatter alone"
    return (
        f"\n{len(some)} units changed during the pilot ({names}): their weights follow, and move with an sd of up to "
        f"{largest**0.5:.3g}, of which scatter is {alone**0.5:.3g}{wish}"
    )
