"""The subject of a pilot: how it aims, how late it sees, how noisily it intends, from how its units answered.

The intention is not in a recording, but a controller with given parameters, shown the recorded cursor and targets, has
one; the units' counts say how well they follow it. Which of some parameters make the units, with tuning refitted each
time, likeliest (a profile likelihood) says where to begin. What units share and keep from bin to bin moves the cursor,
to which the subject answers, and a likelihood of independent counts takes the answer for its cause (1.6 Hz and 0.1 s
for 0.95 Hz and none in a world of shared fluctuations). So the parameters are those of
`bmi_runtime.calibration.aim_fit`, whose residual goes through its own autoregression first, from the counts times the
gains that the units have under them.
"""

from __future__ import annotations

import numpy as np

from bmi_runtime.calibration.aim_fit import Screen, fit_aim
from bmi_runtime.constants import DM_PER_M
from bmi_runtime.intention.paths import intended_path
from bmi_runtime.rehearsal.pilot import Pilot
from bmi_runtime.rehearsal.world import BOUNDS, SUBJECT_PARAMETERS, FittedSubject

COARSE_S = 0.02  # of the bins that are summed: an aim changes slowly
NEWTON_STEPS = 3  # of a fit that begins where the last one ended
TURNS = 2
CONVEX_BINS, GROWTH_STEPS = 100, 6  # looked at for convexity; of the search for how noise grows with speed
ASSUMED = FittedSubject(  # of reaching with vision: literature's usual ranges, as mean and standard deviation
    np.array([0.95, 0.15, 0.05, 0.15]), np.diag([0.15, 0.03, 0.03, 0.05]) ** 2, SUBJECT_PARAMETERS
)
LEAST_GAIN = 8.0
"""How much likelier (nats) the units must be under an intention than without movement, to say anything of it."""
LEAST_VARIANCE = 1e-12  # of a feature that says anything
LEAST_TARGETS = 4  # that say how a subject aims


class Profile:
    """The likelihood of the units as a function of the subject's parameters.

    Parameters
    ----------
    pilot : Pilot
        Of a session.
    """

    def __init__(self, pilot: Pilot):
        self.pilot = pilot
        self.merged = max(round(COARSE_S / pilot.bin_s), 1)
        self.bins = len(pilot.counts) // self.merged * self.merged
        self.usable = np.asarray(pilot.usable[: self.bins].reshape(-1, self.merged).all(axis=1))
        begin = round(1.0 / (pilot.bin_s * self.merged))
        self.usable[:begin] = False  # the aim before the recording is not known
        self.counts = self._merge(pilot.counts, sums=pilot.likelihood == "poisson")
        self._start: np.ndarray | None = None
        self.dispersion = self.squares = 1.0
        self.null = self._value(np.zeros((len(self.counts), 0)))

    def _merge(self, rows: np.ndarray, sums: bool = False) -> np.ndarray:
        groups = rows[: self.bins].reshape(-1, self.merged, rows.shape[1])
        return (groups.sum(axis=1) if sums else groups.mean(axis=1))[self.usable]

    def velocity(self, parameters) -> np.ndarray:
        """Return the intended velocity (dm/s) in the usable coarse bins."""
        assert self.pilot.seen is not None and self.pilot.target is not None
        path = intended_path(parameters, self.pilot.seen, self.pilot.target, self.pilot.bin_s)
        return DM_PER_M * self._merge(path)

    def __call__(self, parameters) -> float:
        """Return minus the log likelihood, over the dispersion of the counts."""
        low, high = BOUNDS[:3].T
        inside = np.clip(parameters[:3], low, high)
        outside = float(np.sum((np.asarray(parameters[:3]) - inside) ** 2))
        return -self._value(self.velocity(inside)) / self.dispersion + 1e4 * outside

    @staticmethod
    def regressors(velocity: np.ndarray) -> np.ndarray:
        """Return 1, the velocity and its square: what noise of the intention does to an exponential rate on average."""
        square = (velocity**2).sum(axis=1, keepdims=True) if velocity.shape[1] else velocity
        return np.column_stack([np.ones(len(velocity)), velocity, square])

    def _value(self, velocity: np.ndarray) -> float:
        u = self.regressors(velocity)
        if self.pilot.likelihood == "gaussian":
            residual = self.counts - u @ np.linalg.lstsq(u, self.counts, rcond=None)[0]
            variance = np.maximum(residual.var(axis=0), 1e-12)
            return float(-0.5 * (np.log(variance) + residual**2 / variance).sum())
        return self._poisson(u)

    def _poisson(self, u: np.ndarray) -> float:
        y = self.counts
        start = np.zeros((u.shape[1], y.shape[1]))
        start[0] = np.log(np.maximum(y.mean(axis=0), 1e-6))
        same = self._start is not None and self._start.shape == start.shape
        weights = self._start if same and self._start is not None else start
        lower, upper = np.tril_indices(u.shape[1])
        products = u[:, lower] * u[:, upper]
        for _ in range(NEWTON_STEPS if same else 3 * NEWTON_STEPS):
            expected = np.exp(np.minimum(u @ weights, 8.0))
            hessian = np.empty((y.shape[1], u.shape[1], u.shape[1]))
            hessian[:, lower, upper] = hessian[:, upper, lower] = expected.T @ products
            hessian += 1e-3 * np.eye(u.shape[1])
            step = np.linalg.solve(hessian, ((y - expected).T @ u)[:, :, None])[:, :, 0].T
            weights = weights + np.clip(step, -1.0, 1.0)
        self._start = weights
        predictor = np.minimum(u @ weights, 8.0)
        expected = np.exp(predictor)
        if u.shape[1] > 1:
            self.squares = float(np.mean((y - expected) ** 2 / np.maximum(expected, 1e-9)))
        return float((y * predictor - expected).sum())


def fit_subject(pilot: Pilot) -> tuple[FittedSubject, tuple[str, ...]]:
    """Return the subject of a session, with its covariance, and notes of what had to be assumed.

    Raises
    ------
    ValueError
        When the pilot is not a session.
    """
    if pilot.seen is None or pilot.target is None:
        raise ValueError("an open-loop pilot shows no subject that steers")
    if len(np.unique(pilot.target[pilot.usable], axis=0)) < LEAST_TARGETS:
        note = f"fewer than {LEAST_TARGETS} targets were shown: the subject's parameters are assumed"
        return ASSUMED, (note,)
    profile = Profile(pilot)
    starts = [(f, d, 0.0) for f in (0.6, 1.0, 1.6) for d in (0.0, 0.08, 0.16, 0.24)]
    best = np.array(min(starts, key=profile))
    likelier = -profile(best) - profile.null
    profile.dispersion = max(profile.squares, 1.0)
    screen = Screen(pilot.seen, pilot.target, pilot.usable)
    for _ in range(TURNS):  # tuning and aim depend on each other
        aim = fit_aim(_reading(profile, best)[pilot.usable], screen, pilot.bin_s)
        if aim.note:
            break
        best = np.clip(aim.mean, BOUNDS[:3, 0], BOUNDS[:3, 1])
    if likelier / profile.dispersion < LEAST_GAIN or aim.note:
        return ASSUMED, ("the units do not follow the aim of any subject: its parameters are assumed",)
    return _with_noise(profile, best, aim.covariance), ()


def _reading(profile: Profile, mean: np.ndarray) -> np.ndarray:
    """Return the units' counts times their gains under a subject, over their noise, (bins, axes)."""
    y, axes = profile.pilot.counts, profile.pilot.axes
    if profile.pilot.likelihood == "gaussian":
        u = profile.regressors(profile.velocity(mean))
        weights = np.linalg.lstsq(u, profile.counts, rcond=None)[0]
        variance = np.maximum((profile.counts - u @ weights).var(axis=0), 1e-12)
        return y @ (weights[1 : 1 + axes] / variance).T
    profile(mean)
    return y @ np.array(profile._start)[1 : 1 + axes].T


def _with_noise(profile: Profile, mean: np.ndarray, covariance: np.ndarray) -> FittedSubject:
    """Return the subject with the noise of its intention: what the units share, along their tuning, bin by bin.

    With tuning w_i (per dm/s), rates lambda_i per bin and J = sum_i w_i w_i' lambda_i, the score s = sum_i w_i (n_i -
    lambda_i) has covariance J + J Q J when the intended velocity has noise of covariance Q = sigma^2 |v|^2 I, so that
    |J^-1 s|^2 - tr J^-1 estimates axes sigma^2 |v|^2; regressed on |v|^2 (derived here). What is correlated with the
    bin before is not fresh noise and is taken off.
    """
    noise, sd = _noise_from_score(profile, mean)
    full = np.zeros((4, 4))
    full[:3, :3], full[3, 3] = covariance, sd * sd
    return FittedSubject(np.append(mean, noise), full, gain_slope=_gain_slope(profile, mean))


def _gain_slope(profile: Profile, mean: np.ndarray) -> np.ndarray:
    """Return the derivative of the logarithm of the units' gains by the subject's parameters, (4,).

    Units say how their rate moves, not how fast the intention was: a subject that aims faster goes with smaller gains,
    those of the regression of one intention on the other.
    """
    steps = np.array([0.05 * mean[0], 0.01, 0.01])
    slope = np.zeros(4)
    here = profile.velocity(mean)
    for axis in range(3):
        there = profile.velocity(mean + steps * (np.arange(3) == axis))
        slope[axis] = np.log(np.sum(here * there) / np.sum(there * there)) / steps[axis]
    return slope


def _noise_from_score(profile: Profile, mean: np.ndarray) -> tuple[float, float]:
    pilot = profile.pilot
    assert pilot.seen is not None and pilot.target is not None
    velocity = DM_PER_M * intended_path(mean, pilot.seen, pilot.target, pilot.bin_s)
    rows = pilot.usable.copy()
    rows[: round(1.0 / pilot.bin_s)] = False
    profile(mean)
    axes, y = velocity.shape[1], pilot.counts
    u = profile.regressors(velocity)
    if pilot.likelihood == "gaussian":
        weights = np.linalg.lstsq(u[rows], y[rows], rcond=None)[0]
        residual = y - u @ weights
        variance, tuning = residual[rows].var(axis=0), weights[1 : 1 + axes]
        inverse = np.divide(1.0, variance, out=np.zeros_like(variance), where=variance > LEAST_VARIANCE)
        information = np.broadcast_to((tuning * inverse) @ tuning.T, (len(u), axes, axes))
        score = (residual * inverse) @ tuning.T
    else:
        weights = np.array(profile._start)
        weights[0] -= np.log(profile.merged)
        expected = np.exp(np.minimum(u @ weights, 8.0))
        tuning = weights[1 : 1 + axes]
        outer = (tuning[:, None] * tuning[None]).reshape(axes * axes, -1)
        information = (expected @ outer.T).reshape(-1, axes, axes)
        score = (y - expected) @ tuning.T
    good = np.flatnonzero(rows)
    good = good[good > 0]
    inverse = np.linalg.inv(information[good] + 1e-9 * np.eye(axes))
    estimate = np.einsum("tij,tj->ti", inverse, score[good])
    before = np.einsum("tij,tj->ti", inverse, score[good - 1])
    fresh = (estimate**2).sum(axis=1) - np.trace(inverse, axis1=1, axis2=2) * _dispersion(profile, pilot)
    fresh = fresh - np.abs((estimate * before).sum(axis=1).mean())
    power = (velocity[good] ** 2).sum(axis=1)
    # weighted least squares: the estimate's variance is that of its Poisson part
    weight = 1.0 / np.maximum(np.trace(inverse, axis1=1, axis2=2), 1e-9) ** 2
    below = float((weight * power**2).sum()) * axes
    variance = float((weight * power * fresh).sum()) / below
    sd_of_variance = float(np.sqrt(((weight * power * fresh) ** 2).sum())) / below
    if pilot.likelihood == "poisson" and variance > 0:
        some = np.linspace(0, len(good) - 1, min(len(good), CONVEX_BINS)).astype(int)
        growth = _growth(variance, tuning, expected[good[some]], inverse[some], power[some], (weight * power)[some])
        variance, sd_of_variance = variance / growth, sd_of_variance / growth
    noise = float(np.sqrt(max(variance, 0.0)))
    sd = sd_of_variance / (2 * noise) if noise > np.sqrt(sd_of_variance) else 0.5 * float(np.sqrt(sd_of_variance))
    return min(noise, 2.0), float(min(sd, 0.5))


def _growth(variance, tuning, expected, inverse, power, weight) -> float:
    """Return by how much noise of the intention shows more in counts than to first order: rates are exponential in it.

    The covariance of counts of units i and j is lambda_i lambda_j (exp(q w_i'w_j) - 1) with q = sigma^2 |v|^2 in place
    of lambda_i lambda_j q w_i'w_j (log-normal rates; standard). `variance`, sigma^2 to first order, is this many times
    too large.

    Parameters
    ----------
    variance : float
    tuning : ndarray, (axes, units)
    expected, inverse, power, weight : ndarray, (bins, units), (bins, axes, axes), (bins,), (bins,)
        Of some bins: expected counts, inverse information, squared speed, and what each counts for.
    """
    alike = tuning.T @ tuning
    seen = np.einsum("tab,bu,tu->tau", inverse, tuning, expected)
    plain = np.einsum("tau,uv,tav->t", seen, alike, seen, optimize=True) * power
    growth = 1.0
    for _ in range(GROWTH_STEPS):
        found = [
            np.einsum("au,uv,av->", a, np.expm1(np.minimum(variance / growth * p * alike, 3.0)), a, optimize=True)
            for a, p in zip(seen, power, strict=True)
        ]
        growth = max(float(weight @ found / (variance / growth * (weight @ plain))), 1.0)
    return growth


def _dispersion(profile: Profile, pilot: Pilot) -> float:
    return 1.0 if pilot.likelihood == "gaussian" else max(profile.dispersion, 1.0)
