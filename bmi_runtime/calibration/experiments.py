"""The experiments behind the figures: trade-off curves, noise variance, adaptation profiles, schedules.

Each returns plain arrays and rows for a table; :mod:`bmi_runtime.calibration.plots` draws them. "True" always means
the closed loop: the decoder reads the weights as they are learned, moves the cursor, and the subject intends
accordingly.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bmi_runtime.calibration.closed_form import Information, SteadyState, steady_state
from bmi_runtime.calibration.exact_recursion import Recursion, exact_steady_state
from bmi_runtime.calibration.montecarlo import Protocol, Run, gaussian_protocol, poisson_protocol
from bmi_runtime.calibration.schedules import FloorSchedule, floor_schedule, predict_schedule
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel

GAUSSIAN_RATES = (5e-7, 5e-6, 5e-5, 5e-4, 5e-3, 5e-2, 5e-1)
POISSON_RATES = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
THRESHOLD = 0.05  # of the initial error, at which convergence is read off
Advance = Callable[[str], None]


@dataclass
class Table:
    """Rows of one experiment, in long form, with what else the drawing needs."""

    rows: list[dict] = field(default_factory=list)
    extra: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Effort:
    """How much to simulate: memories to average over, realisations, units behind a convergence time, close stops."""

    memories: float = 10.0
    realisations: int = 25
    starts: int = 2000
    close_stops: int = 5
    slowest_left_out: int = 0  # rates of spikes: each takes as long as all faster ones together

    @classmethod
    def quick(cls) -> "Effort":
        """Return an effort for a look rather than for a number: about a tenth."""
        return cls(1.0, 3, 64, 2, 2)


def frames(protocol: Protocol) -> np.ndarray:
    """Return each unit's axes, (units, 3, 3), columns: x and y for features; along and across the tuning for spikes."""
    axes = np.repeat(np.eye(3)[None], len(protocol.weights), axis=0)
    if protocol.likelihood == "poisson":
        gains = protocol.weights[:, 1:]
        along = gains / np.linalg.norm(gains, axis=1, keepdims=True)
        axes[:, 1:, 1] = along
        axes[:, 1:, 2] = np.column_stack([-along[:, 1], along[:, 0]])
    return axes


def kinds(protocol: Protocol) -> dict[str, np.ndarray]:
    """Return which units belong together in a figure."""
    if protocol.likelihood == "gaussian":
        return {"all channels": np.arange(len(protocol.weights))}
    half = len(protocol.weights) // 2
    return {"10 Hz, depth 0.6": np.arange(half), "5 Hz, depth 1.0": np.arange(half, 2 * half)}


def parameters(protocol: Protocol) -> tuple[str, str, str]:
    """Return the names of the three weights in the frame of the figures."""
    return ("baseline", "gain x", "gain y") if protocol.likelihood == "gaussian" else ("baseline", "along", "across")


def along_axes(covariance: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return the variances along each unit's axes, (..., units, 3)."""
    return np.einsum("nai,...nab,nbi->...ni", axes, covariance, axes)


def closed_form_crossing(steady: SteadyState, axes: np.ndarray, threshold: float = THRESHOLD) -> np.ndarray:
    """Return the bins until a mean error along an axis, projected on it, is down to a threshold, (units, 3).

    Along an axis that mixes modes the share left is the sum of u_i^2 (1 - k_i)^t; solved by bisection.
    """
    shares = np.einsum("nai,nam->nim", axes, steady.information.directions) ** 2
    decay = np.log1p(steady.rate[:, None] / steady.filter_variance)[:, None, :]
    low, high = np.zeros(shares.shape[:2]), np.log(1 / threshold) / decay.min(axis=2) * np.ones(shares.shape[:2])
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = (shares * np.exp(-decay * middle[:, :, None])).sum(axis=2) > threshold
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return high


def first_crossing(share: np.ndarray, stride: int, threshold: float = THRESHOLD) -> float:
    """Return the bins at which a sampled share first falls to the threshold, interpolated; NaN if it does not."""
    below = np.flatnonzero(share <= threshold)
    if not below.size:
        return float("nan")
    i = below[0]
    if i == 0:
        return 1.0
    step = (share[i - 1] - threshold) / max(share[i - 1] - share[i], 1e-300)
    return stride * (i - 1 + step) + 1.0


def tradeoff(likelihood: str, order: str, effort: Effort, advance: Advance, rates=None) -> Table:
    """Compare computed and true error variance and convergence time over the rates.

    Returns
    -------
    Table
        Rows: rate, kind, parameter, and per quantity the averaged closed form, the exact recursion (both before the
        session, on a task done perfectly), the closed form on the states that the closed loop went through, the truth
        and its standard error.
    """
    protocol = gaussian_protocol(order) if likelihood == "gaussian" else poisson_protocol(order)
    table = Table(extra={"protocol": protocol})
    spikes = POISSON_RATES[effort.slowest_left_out :]
    for rate in rates or (GAUSSIAN_RATES if likelihood == "gaussian" else spikes):
        table.rows += _tradeoff_at(protocol, rate, effort)
        advance(f"{likelihood} {order} {rate:g}")
    return table


def _tradeoff_at(protocol: Protocol, rate: float, effort: Effort) -> list[dict]:
    design, axes = protocol.design(), frames(protocol)
    steady = steady_state(protocol.information, rate)
    exact = exact_steady_state(design, steady)
    memory = 1 / steady.gain.min()
    burn_in, period = int(min(4.0, 1.0 + effort.memories) * memory), 8 * protocol.trial_bins
    bins = burn_in + period * max(1, round(effort.memories * memory / period))
    truth = Run(protocol, rate, bins, burn_in, effort.realisations, seed=11).ensemble()
    simulated = along_axes(truth.errors, axes)
    series = {
        "closed_form": along_axes(steady.error_covariance, axes),
        "exact": along_axes(exact.error_covariance, axes),
        "closed_form_closed_loop": along_axes(steady_state(truth.information, rate).error_covariance, axes),
        "true": simulated.mean(axis=0),
    }
    crossing = closed_form_crossing(steady, axes)
    recursion = Recursion(design, steady.rate)
    limit = int(20 * crossing.max() + 10 * period)
    exact_crossing = recursion.crossings(exact.filter_covariance, np.swapaxes(axes, 1, 2).copy(), THRESHOLD, limit)
    true_crossing = _true_crossings(protocol, rate, effort, axes, np.nanmax(np.maximum(crossing, exact_crossing)))
    rows = []
    for kind, members in kinds(protocol).items():
        for i, name in enumerate(parameters(protocol)):
            row = {"rate": rate, "kind": kind, "parameter": name}
            row |= {f"error_{key}": value[members, i].mean() for key, value in series.items()}
            per_realisation = simulated[:, members, i].mean(axis=1)
            row["error_true_se"] = per_realisation.std(ddof=1) / np.sqrt(len(per_realisation))
            row["coverage"] = truth.coverage[members].mean()
            row["time_closed_form_s"] = crossing[members, i].mean() * protocol.bin_s
            row["time_exact_s"] = np.nanmean(exact_crossing[members, i]) * protocol.bin_s
            row["time_true_s"] = true_crossing[kind][i] * protocol.bin_s
            rows.append(row)
    return rows


def _true_crossings(protocol: Protocol, rate: float, effort: Effort, axes: np.ndarray, expected_bins: float) -> dict:
    """Return, per kind, when the ensemble's mean error along each axis is down to the threshold, in bins.

    Adaptation starts with baselines off by ln 2 and gains at half their truth (across the tuning: off by a quarter of
    it), and the filter's steady covariance.
    """
    depth = np.linalg.norm(protocol.weights[:, 1:], axis=1)
    away = np.stack([np.full_like(depth, np.log(2)), -0.5 * depth, 0.25 * depth], axis=1)
    if protocol.likelihood == "gaussian":
        away[:, 1:] = -0.5 * protocol.weights[:, 1:]
    start = protocol.weights + np.einsum("nai,ni->na", axes, away)
    bins = int(min(2.0 * expected_bins + 20, 4 * expected_bins))
    realisations = max(3, round(effort.starts / len(start)))
    if bins * realisations * len(start) > 3e8:
        realisations = max(3, round(3e8 / bins / len(start)))
    run = Run(protocol, rate, bins, bins, realisations, seed=12, start=start, stride=max(1, bins // 800))
    error = np.einsum("nai,tna->tni", axes, run.ensemble().error_trace)
    found = {}
    for kind, members in kinds(protocol).items():
        share = (error[:, members] * away[members]).sum(axis=1) / (away[members] ** 2).sum(axis=0)
        found[kind] = [first_crossing(share[:, i], run.stride) for i in range(3)]
    return found


def noise_variance(effort: Effort, advance: Advance, order: str, rates=(5e-5, 5e-3, 5e-1)) -> Table:
    """Run the filter on its own estimate of an unknown noise variance, first guess three times too large."""
    protocol = gaussian_protocol(order)
    table = Table(extra={"truth": protocol.noise_variance})
    for rate in rates:
        steady = steady_state(protocol.information, rate)
        spread = np.linalg.cholesky(steady.error_covariance + 0.05 * np.eye(3))
        draws = np.random.default_rng(5).normal(size=(effort.realisations, len(protocol.weights), 3))
        start = protocol.weights + np.einsum("nij,rnj->rni", spread, draws)
        run = Run(protocol, rate, 6000, 0, effort.realisations, seed=13, start=start, estimate_noise=3.0, stride=5)
        trace = run.ensemble().noise_trace
        for sample, values in enumerate(trace):
            table.rows.append({
                "rate": rate, "time_s": (sample * run.stride + 1) * protocol.bin_s, "mean": values.mean(),
                "channel_0": values[0],
            })  # fmt: skip
        advance(f"noise variance {rate:g}")
    return table


def profiles(likelihood: str, rates, effort: Effort, advance: Advance) -> Table:
    """Follow one unit's weights from a wrong start, with the computed 95 % bounds and how often they hold."""
    protocol = gaussian_protocol() if likelihood == "gaussian" else poisson_protocol()
    table, unit = Table(extra={"protocol": protocol, "unit": 0, "coverage": {}, "sd": {}}), 0
    start = protocol.weights.copy()
    start[:, 0] += np.log(2)
    start[:, 1:] *= 0.25
    for rate in rates:
        steady = steady_state(protocol.information, rate)
        memory = 1 / steady.gain.min()
        bins = max(int(12 * memory), 16 * protocol.trial_bins)
        run = Run(protocol, rate, bins, bins, 1, seed=14, start=start, keep_weights=True, stride=max(1, bins // 1500))
        trace = run.ensemble().weight_trace[:, unit]
        long = Run(
            protocol, rate, int((3 + effort.memories) * memory) + 400, int(3 * memory), effort.realisations, seed=15
        )
        table.extra["coverage"][rate] = long.ensemble().coverage.mean()
        table.extra["sd"][rate] = np.sqrt(np.diag(steady.error_covariance[unit]))
        for sample, weights in enumerate(trace):
            row = {"rate": rate, "time_s": (sample * run.stride + 1) * protocol.bin_s}
            table.rows.append(row | dict(zip(("baseline", "gain_x", "gain_y"), weights)))
        advance(f"{likelihood} profile {rate:g}")
    return table


def mean_share(m: np.ndarray, rates: np.ndarray, believed: float) -> np.ndarray:
    """Return what is left of each mode's mean error after each bin under a schedule, (bins, modes), averaged model."""
    p, share, out = np.full_like(m, believed), np.ones_like(m), np.empty((len(rates), len(m)))
    for t, rate in enumerate(rates):
        p = (p + rate) / (1.0 + m * (p + rate))
        share = share * (1.0 - p * m)
        out[t] = share
    return out


def schedule(effort: Effort, advance: Advance) -> Table:
    """Compare the best schedule with fixed rates on the trade-off of time and error, for one channel."""
    protocol = gaussian_protocol()
    info = protocol.information
    one = Information(info.mean[:1], info.score[:1], info.eigenvalues[:1], info.directions[:1])
    table = Table(extra={"bin_s": protocol.bin_s, "traces": {}})
    for rate in np.geomspace(5e-7, 5e-2, 11):
        closed = steady_state(one, rate)
        final = float(np.trace(closed.error_in_modes[0]))
        bins = int(6.0 / closed.gain.min()) + 200
        scheduled = floor_schedule(one, rate, 1.0, bins)[:, 0]
        for kind, rates, believed in (
            ("fixed", np.full(bins, rate), float(np.sqrt(rate))),
            ("schedule", scheduled, 1.0),
        ):
            share = mean_share(one.eigenvalues[0], rates, believed).max(axis=1)
            time_s = first_crossing(share, 1) * protocol.bin_s
            table.rows.append({"kind": kind, "rate": rate, "convergence_s": time_s, "steady_error": final})
            error = predict_schedule(one, rates, 1.0, believed)[:, 0].sum(axis=1)
            table.extra["traces"][kind, rate] = error
        advance(f"schedule {rate:g}")
    table.extra["simulated"] = _simulated_schedule(protocol, 5e-6, max(4, effort.realisations))
    return table


def _simulated_schedule(protocol: Protocol, floor: float, copies: int) -> tuple[np.ndarray, np.ndarray]:
    """Return times (s) and mean squared errors of the online schedule on the live filter, 40 units per copy."""
    rng, states = np.random.default_rng(9), protocol.open_loop_states()
    truth = np.tile(protocol.weights, (copies, 1)).T
    rows, columns = np.tril_indices(3)
    start = np.where(rows == columns, 1.0, 0.0)[:, None] * np.ones(truth.shape[1])
    model = EncodingModel(truth + rng.normal(size=truth.shape), start, "gaussian", protocol.bin_s)
    adapter, valid = Adapter(model, 0.0), np.ones(truth.shape[1])
    online = FloorSchedule(floor, truth.shape[1], "gaussian", protocol.bin_s)
    at = np.unique(np.geomspace(4, 2000, 16).astype(int))
    errors = []
    for t in range(at[-1]):
        u = np.array([1.0, *states[t % len(states)]])
        counts = u @ truth + rng.normal(size=truth.shape[1])
        adapter.update(counts, valid, u[1] / 10, u[2] / 10)
        online.update(u, counts, valid, adapter.innovation, model.covariance, model.noise_variance)
        adapter.set_learning_rate(online.rate)
        if t + 1 in at:
            errors.append(((model.weights - truth) ** 2).sum(axis=0).mean())
    return at * protocol.bin_s, np.array(errors)
