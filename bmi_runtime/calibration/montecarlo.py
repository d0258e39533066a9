"""Closed-loop simulations to hold the calibration against: the true errors, convergence times and decoding."""

import functools
from dataclasses import dataclass, fields

import numpy as np

from bmi_runtime.calibration.closed_form import Information, information, steady_state
from bmi_runtime.calibration.design import Design
from bmi_runtime.calibration.exact_recursion import pack, unpack
from bmi_runtime.calibration.parallel_map import share
from bmi_runtime.constants import Z_95
from bmi_runtime.intention.infer import aim_gains

NATURAL_FREQUENCY = 6.0  # rad/s: peak speed 2.2 dm/s over 1 dm
DISTANCE_M = 0.1  # of the targets from the centre
TRIAL_S = 2.0  # out and back


@dataclass(frozen=True)
class Protocol:
    """One kind of closed-loop simulation; every value is our choice (docs/calibration.md).

    Attributes
    ----------
    likelihood : {"gaussian", "poisson"}
    order : {"periodic", "random"}
        Targets one after the other, or drawn uniformly.
    bin_s : float
    weights : ndarray, (units, 3)
        True weights of the population (dm/s).
    counts : {"bernoulli", "poisson"}
    noise_variance : float
        Of Gaussian features.
    decoder_time_constant_s, decoder_sd_m_s : float
        The decoder's velocity prior.
    box_m, largest_speed_m_s : float
        Half width of the workspace in which the cursor stays; the most that the subject intends.
    open_loop : bool
        Whether the subject sees a cursor that obeys perfectly, on the same targets in every realisation.
    """

    likelihood: str
    order: str
    bin_s: float
    weights: np.ndarray
    counts: str = "bernoulli"
    noise_variance: float = 1.0
    decoder_time_constant_s: float = 0.5
    decoder_sd_m_s: float = 0.15
    box_m: float = 0.25
    largest_speed_m_s: float = 0.5
    open_loop: bool = False

    def __getstate__(self):
        """What travels to another process: the settings, without what is worked out from them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def trial_bins(self) -> int:
        """Bins of one reach out and back."""
        return round(TRIAL_S / self.bin_s)

    def design(self) -> Design:
        """Return what a calibration before the session would know: the task done perfectly, and the units."""
        return self._design

    @functools.cached_property
    def _design(self) -> Design:
        return self.design_of(self.open_loop_states())

    @functools.cached_property
    def information(self) -> Information:
        """What the bins of the design say about the weights."""
        return information(self._design)

    def design_of(self, states: np.ndarray) -> Design:
        """Return a design of this population with given states (dm/s)."""
        noise = np.full(len(self.weights), self.noise_variance) if self.likelihood == "gaussian" else None
        return Design(states, self.weights, self.bin_s, self.likelihood, noise, self.counts)

    def open_loop_states(self) -> np.ndarray:
        """Return the intended velocity (dm/s) of a subject whose cursor obeys perfectly, over one period."""
        goals = self.design_goals()
        return self.perfect(np.concatenate([goals, goals]))[0][len(goals) :]

    def design_goals(self) -> np.ndarray:
        """Return the targets of the design: one period, or a fixed random sample of 200 trials."""
        trials = 8 if self.order == "periodic" else 200
        return self.goals(trials * self.trial_bins, np.random.default_rng(77))

    def perfect(self, goals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return velocity (dm/s) and cursor (m) where the cursor moves exactly as intended."""
        from bmi_runtime.kernels.encoding_mc import aim_perfectly

        states, cursor = np.empty_like(goals), np.empty_like(goals)
        aim_perfectly(goals, *aim_gains(NATURAL_FREQUENCY, self.bin_s), self.bin_s, states, cursor)
        return states, cursor

    def goals(self, bins: int, rng: np.random.Generator) -> np.ndarray:
        """Return where the target is in every bin, (bins, 2), m: out for half a trial, back for the other."""
        trials = -(-bins // self.trial_bins)
        order = np.arange(trials) % 8 if self.order == "periodic" else rng.integers(8, size=trials)
        angle = order * np.pi / 4
        targets = DISTANCE_M * np.column_stack([np.cos(angle), np.sin(angle)])
        half = self.trial_bins // 2
        both = np.stack([targets, np.zeros_like(targets)], axis=1).reshape(-1, 2)
        lengths = np.tile([half, self.trial_bins - half], trials)
        return np.repeat(both, lengths, axis=0)[:bins]

    def settings(self) -> np.ndarray:
        """Return the settings in the order of the kernel."""
        keep, pull = aim_gains(NATURAL_FREQUENCY, self.bin_s)
        decoder_keep = np.exp(-self.bin_s / self.decoder_time_constant_s)
        noise = self.decoder_sd_m_s**2 * (1 - decoder_keep**2)
        most = 0.0 if self.likelihood == "gaussian" else 1.0 if self.counts == "bernoulli" else 1e9
        return np.array(
            [keep, pull, decoder_keep, noise, 0.0, self.box_m, self.largest_speed_m_s, most, float(self.open_loop)]
        )


def gaussian_protocol(order: str = "periodic", units: int = 40) -> Protocol:
    """Return the protocol of continuous features: 50 ms bins, baseline U(-2, 2), depth U(0.5, 1.5), any direction."""
    rng = np.random.default_rng(20180529)
    baseline, depth = rng.uniform(-2, 2, units), rng.uniform(0.5, 1.5, units)
    angle = rng.uniform(0, 2 * np.pi, units)
    return Protocol("gaussian", order, 0.05, np.column_stack([baseline, depth * np.cos(angle), depth * np.sin(angle)]))


def poisson_protocol(order: str = "periodic", counts: str = "bernoulli", directions: int = 16) -> Protocol:
    """Return the protocol of spikes: 5 ms bins, two kinds of unit (10 Hz, 0.6; 5 Hz, 1.0), directions all around."""
    kinds = [(10.0, 0.6, 30.0), (5.0, 1.0, 200.0)]
    weights = []
    for rate_hz, depth, first in kinds:
        angle = np.radians(first + 360.0 / directions * np.arange(directions))
        weights.append(
            np.column_stack([np.full(directions, np.log(rate_hz)), depth * np.cos(angle), depth * np.sin(angle)])
        )
    return Protocol("poisson", order, 0.005, np.concatenate(weights), counts)


@dataclass
class Ensemble:
    """What the realisations of one protocol at one rate showed, averaged or summed over them.

    Attributes
    ----------
    error_covariance : ndarray, (units, 3, 3)
        Second moment of the weights' errors after the burn-in, around the truth.
    errors : ndarray, (realisations, units, 3, 3)
        The same of each realisation.
    mean_error : ndarray, (units, 3)
    coverage : ndarray, (units, 3)
        Share of bins in which a weight was within the bounds.
    information : Information
        Of the states that the closed loop went through.
    error_trace : ndarray, (samples, units, 3)
        Mean error over the realisations.
    weight_trace : ndarray, (samples, units, 3)
        Weights of the first realisation.
    noise_trace : ndarray, (samples, units)
    weights : ndarray, (realisations, units, 3)
        At the end.
    states, cursor : ndarray, (realisations, rows, 2)
        Encoded velocity (dm/s) and cursor (m) of the last bins.
    stride : int
    """

    error_covariance: np.ndarray
    errors: np.ndarray
    mean_error: np.ndarray
    coverage: np.ndarray
    information: Information
    error_trace: np.ndarray
    weight_trace: np.ndarray
    noise_trace: np.ndarray
    weights: np.ndarray
    states: np.ndarray
    cursor: np.ndarray
    stride: int


@dataclass
class Run:
    """How an ensemble is simulated.

    Attributes
    ----------
    protocol : Protocol
    rate : float
    bins, burn_in, realisations : int
    seed : int
    start : ndarray, (units, 3) or (realisations, units, 3), optional
        The filter's initial weights. By default the truth plus a draw from the predicted steady state.
    adapt_bins : int, optional
        The filter learns for so many bins; all by default.
    stride : int
        Bins between samples of the traces.
    keep_states, keep_cursor, keep_weights : int
        How many of the last bins' states and cursors to keep; whether to keep the first realisation's weights.
    estimate_noise : float, optional
        First guess of the noise variance; the filter is told the truth by default.
    initial_covariance : ndarray, (units, 3, 3), optional
        The filter's; its steady one by default.
    """

    protocol: Protocol
    rate: float
    bins: int
    burn_in: int
    realisations: int
    seed: int = 1
    start: np.ndarray | None = None
    adapt_bins: int | None = None
    stride: int = 0
    keep_states: int = 0
    keep_cursor: int = 0
    keep_weights: bool = False
    estimate_noise: float | None = None
    initial_covariance: np.ndarray | None = None

    def __post_init__(self):
        self.steady = steady_state(self.protocol.information, max(self.rate, 1e-300))
        self.stride = self.stride or max(1, self.bins // 400)
        self.keep_states, self.keep_cursor = min(self.keep_states, self.bins), min(self.keep_cursor, self.bins)
        self.samples = -(-self.bins // self.stride)

    def one(self, generator: np.random.Generator, index: int) -> dict[str, np.ndarray]:
        """Run one realisation; return its tallies."""
        from bmi_runtime.kernels.encoding_mc import closed_loop

        protocol, n = self.protocol, len(self.protocol.weights)
        truth = np.ascontiguousarray(protocol.weights.T)
        steady = self.steady
        if self.start is None:
            factor = np.linalg.cholesky(steady.error_covariance)
            start = protocol.weights + np.einsum("nij,nj->ni", factor, generator.normal(size=(n, 3)))
        else:
            start = self.start if self.start.ndim == 2 else self.start[index]
        weights = np.ascontiguousarray(start.T)
        filter_cov = steady.filter_covariance if self.initial_covariance is None else self.initial_covariance
        bounds = Z_95 * np.sqrt(np.diagonal(steady.error_covariance, axis1=1, axis2=2).T)
        estimate = self.estimate_noise is not None
        noise = np.full(n, self.estimate_noise if estimate else protocol.noise_variance)
        out = {
            "moments": np.zeros((9, n)), "inside": np.zeros((3, n)), "information": np.zeros((6, n)),
            "score": np.zeros((6, n)), "error_trace": np.zeros((self.samples, 3, n)),
            "weight_trace": np.zeros((self.samples if self.keep_weights and index == 0 else 0, 3, n)),
            "noise_trace": np.zeros((self.samples if estimate else 0, n)),
            "states": np.zeros((self.keep_states, 2)), "cursor": np.zeros((self.keep_cursor, 2)),
        }  # fmt: skip
        start_error = np.einsum("ni,nj->nij", start - protocol.weights, start - protocol.weights)
        closed_loop(
            generator, protocol.settings(), self._goals(generator), protocol.bin_s, truth,
            np.full(n, protocol.noise_variance), weights, pack(filter_cov), np.full(n, self.rate),
            self.bins if self.adapt_bins is None else self.adapt_bins, estimate, noise,
            np.ascontiguousarray(pack(np.maximum(start_error, steady.error_covariance)).T),
            np.stack([noise, np.ones(n), noise]), self.burn_in, self.stride, np.ascontiguousarray(bounds),
            *out.values(),
        )  # fmt: skip
        return out | {"weights": weights}

    def ensemble(self, workers: int | None = None) -> Ensemble:
        """Run all realisations, on all cores or (:func:`bmi_runtime.cluster.joblib_on`) on a Dask cluster.

        Each has a generator of its own, and they are summed in their order: who runs them changes no bit.
        """
        generators = [np.random.default_rng(s) for s in np.random.SeedSequence(self.seed).spawn(self.realisations)]
        return self._gather(share(self.one, list(zip(generators, range(self.realisations), strict=True)), workers))

    def _goals(self, generator: np.random.Generator) -> np.ndarray:
        if not self.protocol.open_loop:
            return self.protocol.goals(self.bins, generator)
        goals = self.protocol.design_goals()
        return np.tile(goals, (-(-self.bins // len(goals)), 1))[: self.bins]

    def _gather(self, parts: list[dict[str, np.ndarray]]) -> Ensemble:
        def summed(name):
            return np.sum([part[name] for part in parts], axis=0)

        tallied = max(1, self.bins - self.burn_in) * len(parts)
        moments = summed("moments") / tallied
        mean, score = unpack(summed("information") / tallied), unpack(summed("score") / tallied)
        if self.protocol.likelihood == "gaussian" or self.protocol.counts == "poisson":
            score = mean
        values, directions = np.linalg.eigh(mean)
        return Ensemble(
            error_covariance=unpack(moments[3:]),
            errors=np.stack([unpack(part["moments"][3:]) for part in parts]) / (tallied / len(parts)),
            mean_error=moments[:3].T,
            coverage=summed("inside").T / tallied,
            information=Information(mean, score, values, directions),
            error_trace=np.swapaxes(summed("error_trace"), 1, 2) / len(parts),
            weight_trace=np.swapaxes(parts[0]["weight_trace"], 1, 2),
            noise_trace=summed("noise_trace") / len(parts),
            weights=np.stack([part["weights"].T for part in parts]),
            states=np.stack([part["states"] for part in parts]),
            cursor=np.stack([part["cursor"] for part in parts]),
            stride=self.stride,
        )
