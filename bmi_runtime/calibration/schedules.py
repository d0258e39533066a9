"""Beyond the fixed rate: start fast, end exact.

For a truth that stands still, the best filter is recursive least squares: a learning rate of zero from a covariance
that honestly says how little is known (then the filter's covariance *is* the error covariance, p_t = 1 / (1/p_0 + m
t)). It never forgets, so it never follows a change. The best schedule that stays able to follow one, with gains never
below those of a floor rate, takes at each bin the larger of the two gains: zero rate until the covariance has shrunk
to the floor's steady one, then the floor. Each bin's error after the update, (1 - k)^2 E + k^2 / m, is smallest at k =
E / (E + 1/m) and rises on both sides and with E, so taking the smallest allowed error in each bin gives the smallest
error at every time (derived).
"""

import numpy as np

from bmi_runtime.calibration.closed_form import Information
from bmi_runtime.errors import BadInput


def predict_schedule(info: Information, rates: np.ndarray, initial: float, believed: float | None = None) -> np.ndarray:
    """Predict every mode's mean squared error after each bin under any schedule, in the averaged model.

    Parameters
    ----------
    info : Information
    rates : ndarray, (bins,) or (bins, units)
        Learning rate of each bin.
    initial : float
        Variance of every weight's actual error at the start.
    believed : float, optional
        The filter's initial covariance; `initial` by default.

    Returns
    -------
    ndarray, (bins + 1, units, regressors)
        Mean squared error, the start first. Modes as in :func:`~bmi_runtime.calibration.closed_form.information`.
    """
    m = info.eigenvalues
    noise = np.diagonal(info.score_in_modes, axis1=1, axis2=2)
    schedule = np.asarray(rates, dtype=np.float64).reshape(len(rates), -1)
    p = np.full_like(m, initial if believed is None else believed)
    error = np.full_like(m, initial)
    out = np.empty((len(schedule) + 1, *m.shape))
    out[0] = error
    for t, rate in enumerate(schedule):
        p = p + rate[:, None]
        p = p / (1.0 + m * p)
        error = (1.0 - p * m) ** 2 * error + p * p * noise
        out[t + 1] = error
    return out


def floor_schedule(info: Information, floor: float, initial: float, bins: int) -> np.ndarray:
    """Return the best schedule with a floor, in the averaged model: each unit's rate in each bin, (bins, units).

    Zero until the mean of what a bin takes from the covariance, m p^2 over the modes, falls to the floor rate; then
    the floor.

    Raises
    ------
    BadInput
        If a number is not positive.
    """
    if not (floor > 0 and initial > 0 and bins > 0):
        raise BadInput("a schedule needs a floor rate, an initial covariance and a number of bins above zero")
    m = info.eigenvalues
    after = np.arange(1, bins + 1)[:, None, None]
    p = 1.0 / (1.0 / initial + m * after)
    taken = (m * p * p).mean(axis=2)
    return np.where(taken <= floor, floor, 0.0)


class FloorSchedule:
    """The best schedule with a floor, decided online: one kernel call a bin, no knowledge of the task needed.

    A unit's rate is zero while its bins still take more from its covariance than the floor rate would feed into it
    (the mean of w |S u|^2 / regressors, which at the floor's steady state equals the floor), then the floor. The
    session calls, in every bin, after the adapter::

        schedule.update(regressors, counts, valid, innovation, covariance, noise_variance)
        adapter.set_learning_rate(schedule.rate)        # from the next bin on

    Parameters
    ----------
    floor : float or ndarray, (units,)
        The rate that a unit ends at; what ``bmi calibrate`` answered.
    units : int
    likelihood : {"gaussian", "poisson"}
    bin_s, window_s : float
        The leaky mean's time constant should cover a few reaches.

    Attributes
    ----------
    rate : ndarray, (units,)
        Zero, then the floor.
    """

    def __init__(self, floor, units: int, likelihood: str, bin_s: float, window_s: float = 8.0):
        from bmi_runtime.kernels import monitoring

        self.floor = np.full(units, 0.0) + floor
        if not np.all(np.isfinite(self.floor) & (self.floor > 0)):
            raise BadInput("the floor of a learning-rate schedule must be above zero")
        self._kernel = monitoring.schedule_step
        self._gaussian = float(likelihood == "gaussian")
        self._keep = np.exp(-bin_s / window_s)
        self._ones = np.ones(units)
        self.rate = np.zeros(units)
        self.mean = np.zeros((2, units))

    def update(self, regressors, counts, valid, innovation, covariance, noise_variance=None) -> None:
        """Take one bin; shapes as in :meth:`bmi_runtime.calibration.monitor.Monitor.update`."""
        noise = self._ones if noise_variance is None else noise_variance
        self._kernel(
            regressors, counts, valid, innovation, covariance, noise, self._gaussian, self._keep, self.floor, self.mean,
            self.rate,
        )  # fmt: skip

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all that the next bin depends on."""
        return {"rate": self.rate.copy(), "mean": self.mean.copy()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Put a :meth:`state` back, in place."""
        self.rate[:], self.mean[:] = state["rate"], state["mean"]
