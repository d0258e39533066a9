"""What a decoder is worth that is fixed after some time of adaptation: simulated, and computed before any session.

The closed loop adapts, is stopped at one adaptation time after the other, and each time the decoder is fixed and
tested on two periods of targets. The computed counterpart draws the weights instead of adapting them: each mode's mean
error is down to ``(1 - k)^t`` of what it was, and its covariance up to
``E_ij (1 - (1 - k_i)^t (1 - k_j)^t)`` (averaged model).
"""

from collections.abc import Iterator

import numpy as np

from bmi_runtime.calibration.closed_form import steady_state
from bmi_runtime.calibration.experiments import Advance, Effort, Table, closed_form_crossing, frames
from bmi_runtime.calibration.montecarlo import Protocol, Run, gaussian_protocol, poisson_protocol

GAUSSIAN_RATES = (5e-7, 5e-6, 5e-5, 5e-4, 5e-3, 5e-2, 5e-1)
POISSON_RATES = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
FRACTIONS = (0.1, 0.3, 1.0, 3.0, 10.0)  # of the middle rate's convergence time
CLOSE = 0.04  # of the longest time, between close stops
EXAMINED = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # rates of spikes at which fewer units are tried
FEWER = (4, 8, 16)  # directions of either kind of unit: 8, 16 and 32 units


def stops(middle_s: float, close: int) -> Iterator[float]:
    """Yield the adaptation times: tenths to ten times the middle rate's convergence time, then close stops."""
    yield from (middle_s * factor for factor in FRACTIONS)
    yield from (middle_s * FRACTIONS[-1] * (1 + CLOSE * i) for i in range(1, close + 1))


class Trial:
    """The test of a fixed decoder: two periods of targets, the error against a cursor that obeys perfectly."""

    def __init__(self, protocol: Protocol, realisations: int):
        self.protocol, self.realisations = protocol, realisations
        self.bins = 16 * protocol.trial_bins
        self.perfect = protocol.perfect(protocol.goals(self.bins, np.random.default_rng(6)))[1]

    def __call__(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the root mean square error (realisations,) in m, and the first realisation's cursor of the last
        period, for weights (realisations, units, 3).
        """
        run = Run(
            self.protocol, 0.0, self.bins, self.bins, self.realisations, 17, weights, 0, keep_cursor=self.bins
        ).ensemble()
        error = np.sqrt(((run.cursor - self.perfect) ** 2).sum(axis=2).mean(axis=1))
        return error, run.cursor[0, self.bins // 2 :]


def wrong_start(protocol: Protocol, realisations: int) -> np.ndarray:
    """Return initial weights (realisations, units, 3): half the gains of other units, shuffled."""
    rng = np.random.default_rng(6)
    start = np.repeat(protocol.weights[None], realisations, axis=0)
    for weights in start:
        weights[:, 1:] = 0.5 * rng.permutation(weights[:, 1:])
    return start


def computed_weights(protocol: Protocol, rate: float, bins: int, start: np.ndarray) -> np.ndarray:
    """Return weights as they are expected to be after so many bins at a rate, drawn, of the shape of `start`."""
    steady = steady_state(protocol.information, rate)
    directions, kept = protocol.information.directions, steady.kept**bins
    scatter = steady.error_in_modes * (1.0 - kept[:, :, None] * kept[:, None, :])
    scatter = scatter + 1e-15 * np.eye(scatter.shape[-1])
    draws = np.random.default_rng(18).standard_normal(start.shape)
    error = np.einsum("nai,rna->rni", directions, start - protocol.weights) * kept
    error = error + np.einsum("nij,rnj->rni", np.linalg.cholesky(scatter), draws)
    return protocol.weights + np.einsum("nai,rni->rna", directions, error)


def decoding(likelihood: str, effort: Effort, advance: Advance, rates=None) -> Table:
    """Stop adaptation at various times, fix the decoder, and let it follow two periods of targets.

    Returns
    -------
    Table
        Rows: rate, adaptation time, realisation, the simulated and the computed root mean square error. `extra` holds
        the cursors, the perfect cursor and the adaptation time of the middle rate.
    """
    gaussian = likelihood == "gaussian"
    protocol = gaussian_protocol() if gaussian else poisson_protocol()
    rates = rates or (GAUSSIAN_RATES if gaussian else POISSON_RATES[effort.slowest_left_out :])
    middle = steady_state(protocol.information, 5e-3 if gaussian else 1e-5)
    middle_s = float(closed_form_crossing(middle, frames(protocol)).max()) * protocol.bin_s
    trial = Trial(protocol, max(2, effort.realisations // 2))
    start = wrong_start(protocol, trial.realisations)
    table = Table(extra={"protocol": protocol, "perfect": trial.perfect, "cursor": {}, "middle_s": middle_s})
    for rate in rates:
        weights, done = start, 0
        for number, stop_s in enumerate(stops(middle_s, effort.close_stops)):
            bins = max(done + 1, round(stop_s / protocol.bin_s))
            run = Run(protocol, rate, bins - done, bins - done, trial.realisations, seed=16 + number, start=weights)
            weights, done = run.ensemble().weights, bins
            error, cursor = trial(weights)
            computed, _ = trial(computed_weights(protocol, rate, bins, start))
            table.extra["cursor"][rate, stop_s] = cursor
            table.rows += [
                {"rate": rate, "adaptation_s": stop_s, "realisation": i, "rmse_m": error[i], "rmse_computed_m": value}
                for i, value in enumerate(computed)
            ]
            advance(f"{likelihood} decoding {rate:g}, {stop_s:.3g} s")
    return table


def fewer_units(effort: Effort, advance: Advance) -> Table:
    """Follow how the error of a fixed decoder depends on the moment of the stop, at fast rates and with fewer units.

    Every rate adapts for three of its own memories (at least 30 s) and is then stopped every 2 s. `oscillation` is the
    ratio of the ninetieth to the tenth percentile of the error over the stops, its median over the realisations.
    """
    table = Table()
    for directions in FEWER:
        protocol = poisson_protocol(directions=directions)
        trial = Trial(protocol, max(2, effort.realisations // 4))
        for rate in EXAMINED:
            memory = 1.0 / steady_state(protocol.information, rate).gain.min()
            first = int(max(3.0 * memory, 30.0 / protocol.bin_s))
            weights = np.repeat(protocol.weights[None], trial.realisations, axis=0)
            errors = []
            for number in range(2 + 2 * effort.close_stops):
                bins = first if number == 0 else round(2.0 / protocol.bin_s)
                run = Run(protocol, rate, bins, bins, trial.realisations, seed=40 + number, start=weights)
                weights = run.ensemble().weights
                errors.append(trial(weights)[0])
            high, low = np.percentile(errors, [90, 10], axis=0)
            depth = np.linalg.norm(protocol.weights[:, 1:], axis=1)
            spread = np.sqrt(np.linalg.eigvalsh(steady_state(protocol.information, rate).error_covariance)[:, -1])
            table.rows.append(
                {
                    "units": len(protocol.weights),
                    "rate": rate,
                    "rmse_m": float(np.median(errors)),
                    "oscillation": float(np.median(high / low)),
                    "gain_sd_over_depth": float(np.median(spread / depth)),
                }
            )
            advance(f"{len(protocol.weights)} units, {rate:g}")
    return table
