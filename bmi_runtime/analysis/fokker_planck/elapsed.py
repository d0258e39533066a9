"""The time-elapsed model: neurons by the time s since their last spike, ``n_t + n_s + d(s, X) n = 0``,
``n(0, t) = N(t)``.

The rate is ``N = int d n ds`` with ``d = 1_{s > sigma(X)}``: a neuron is silent for the time sigma(X), then fires at
rate one. X is J N(t) (instantaneous, an algebraic equation with one or several roots), J N(t - D), or its filter
``tau X' = J N - X`` (Pakdaman, Perthame and Salort 2010).
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import optimize, special

from bmi_runtime.errors import BadInput


def refractory_time(x: np.ndarray) -> np.ndarray:
    """Return the default silent time ``sigma(X) = 2 / (1 + exp(9 (X - 0.5)))``: it shortens when the network is
    active.
    """
    return 2 * special.expit(-9 * (np.asarray(x) - 0.5))


def steady_rates(coupling: float, sigma: Callable = refractory_time) -> np.ndarray:
    """Return the steady rates that a fine search finds, roots of ``N (1 + sigma(J N)) = 1`` on (0, 1].

    The search is fine in N and, where sigma bends, in J N; the extrema it passes are searched, so that two roots that
    have just met there are both found.
    """
    rate = np.linspace(1e-9, 1.0, 4001)
    if coupling > 0:
        bent = np.linspace(0.0, 3.0, 3001)[1:] / coupling
        rate = np.unique(np.r_[rate, bent[bent < 1]])

    def excess(x):
        return x * (1 + sigma(coupling * x)) - 1

    return _roots(excess, np.unique(np.r_[rate, _extrema(excess, rate)]))


def _extrema(function, points):
    """Return where the function has its extrema between the points around each that the points show."""
    rises = np.diff(function(points)) > 0
    return [
        optimize.minimize_scalar(
            (lambda x: -function(x)) if rises[i] else function,
            bounds=points[[i, i + 2]], method="bounded", options={"xatol": 1e-12},
        ).x
        for i in np.flatnonzero(rises[1:] != rises[:-1])
    ]  # fmt: skip


def _roots(function, points):
    values = function(points)
    found = [
        optimize.brentq(function, points[i], points[i + 1], xtol=1e-14)
        for i in np.flatnonzero(values[1:] * values[:-1] < 0)
    ]
    return np.array(sorted(found + [float(x) for x in points[values == 0]]))


@dataclasses.dataclass
class Elapsed:
    """A run: times (k,), N(t) (k,), how many instantaneous roots there were (k,), density at the end over ages (m,),
    mass error.
    """

    times: np.ndarray
    rate: np.ndarray
    roots: np.ndarray
    density: np.ndarray
    ages: np.ndarray
    mass_error: float


def simulate(
    coupling: float,
    initial: np.ndarray,
    step: float,
    duration: float,
    *,
    rule: str = "nearest",
    delay: float = 0.0,
    filter_time: float = 0.0,
    sigma: Callable = refractory_time,
) -> Elapsed:
    """Integrate along the characteristics: ages shift by exactly one cell a step, no numerical diffusion.

    Parameters
    ----------
    coupling : float
        J.
    initial : float64 array (m,)
        Masses of the age cells ``[i step, (i + 1) step)``; they sum to one. The last cell collects all older neurons.
    step, duration : float
        Time (and age) step.
    rule : {"nearest", "lowest", "highest"}
        Which root is followed where the instantaneous coupling has several: the one nearest to the rate just before,
        the lowest or the highest. Ignored with a delay or a filter.
    delay, filter_time : float
        D and tau; at most one of them may be positive.

    Raises
    ------
    BadInput
        When the rule is unknown, a delay and a filter time are both given, or the step cannot resolve the
        delay.
    """
    if rule not in ("nearest", "lowest", "highest"):
        raise BadInput(f"there is no rule '{rule}': choose nearest, lowest or highest")
    if delay > 0 and filter_time > 0:
        raise BadInput("give a delay or a filter time, not both")
    if 0 < delay < step:
        raise BadInput(f"a step of {step:g} cannot resolve the delay {delay:g}")
    mass = np.array(initial, float) / np.sum(initial)
    ages = step * np.arange(mass.size + 1)
    steps = round(duration / step)
    rate, roots = np.zeros(steps + 1), np.ones(steps + 1, int)
    felt, lag = 0.0, round(delay / step)
    scan = np.linspace(0.0, 1.0, 257)
    worst = 0.0
    for k in range(steps + 1):
        older = np.r_[mass[::-1].cumsum()[::-1], 0.0]

        def firing(x, older=older):
            return np.interp(np.minimum(sigma(x), ages[-2]), ages, older)

        if lag:
            rate[k] = firing(coupling * (rate[k - lag] if k >= lag else 0.0))
        elif filter_time > 0:
            rate[k] = firing(felt)
            felt = coupling * rate[k] + (felt - coupling * rate[k]) * np.exp(-step / filter_time)
        else:
            found = _roots(lambda x: firing(coupling * x) - x, scan)
            if found.size == 0:  # a root at an end, 0 or 1, that rounding leaves on one side
                found = scan[[int(np.argmin(np.abs(firing(coupling * scan) - scan)))]]
            roots[k] = found.size
            rate[k] = _choose(found, rate[k - 1] if k else found[0], rule)
        drive = (
            coupling * (rate[k - lag] if k >= lag else 0.0) if lag else felt if filter_time > 0 else coupling * rate[k]
        )
        mass = _shift(mass, ages, float(sigma(drive)), step)
        worst = max(worst, abs(mass.sum() - 1))
    return Elapsed(step * np.arange(steps + 1), rate, roots, mass / step, ages[:-1], worst)


def _choose(found, before, rule):
    if found.size == 0:
        raise BadInput("the instantaneous rate has no root: sigma must be continuous and not negative")
    if rule == "nearest":
        return found[np.argmin(np.abs(found - before))]
    return found[0] if rule == "lowest" else found[-1]


def _shift(mass, ages, silent, step):
    """Return the masses one step later: those past the silent time fire, the rest grow older, the fired start again
    at age 0.
    """
    exposed = np.clip((ages[1:] - silent) / step, 0.0, 1.0)
    exposed[-1] = 1.0
    fired = mass * exposed * -np.expm1(-step)
    left = mass - fired
    moved = np.r_[fired.sum(), left[:-1]]
    moved[-1] += left[-1]
    return moved
