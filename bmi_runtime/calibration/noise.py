"""The unknown noise variance of Gaussian features, estimated online without the bias of covariance matching."""

import numpy as np

from bmi_runtime.errors import BadInput


class NoiseVariance:
    """A running estimate of every feature's noise variance, updated in place once a bin by one kernel call.

    The textbook estimator averages nu^2 - u'S u with the filter's own covariance S, which is about twice the error
    covariance E of a truth that stands still: it comes out too low, by 9 % at s = 5e-3, and below zero at s = 5e-1
    (benchmarks/calibration.py). Here E itself is tracked (Joseph form, without the filter's belief in drift), and nu^2
    - u'E u has mean Z whatever the rate (derived). The session calls, in every bin, after the adapter::

        noise.update(regressors, valid, adapter.innovation, model.covariance, model.noise_variance)
        model.noise_variance[:] = noise.estimate        # if the filter is to use it, from the next bin on

    Parameters
    ----------
    guess : ndarray, (units,)
        First guess, worth one bin.
    covariance : ndarray, (pairs, units)
        Covariance of the weights' initial error: the filter's initial covariance.

    Attributes
    ----------
    estimate : ndarray, (units,)
    """

    def __init__(self, guess: np.ndarray, covariance: np.ndarray):
        from bmi_runtime.kernels import monitoring

        guess = np.asarray(guess, dtype=np.float64)
        wrong = np.flatnonzero(~(np.isfinite(guess) & (guess > 0)))
        if wrong.size:
            raise BadInput(
                f"the first guess of unit {wrong[0]}'s noise variance is {guess[wrong[0]]:g}; it must be above zero"
            )
        self._kernel, pairs = monitoring, len(covariance)
        self.estimate = guess.copy()
        regressors = round((np.sqrt(8 * pairs + 1) - 1) / 2)
        if regressors * (regressors + 1) // 2 != pairs:
            raise BadInput(
                f"the covariance has {pairs} rows, which is not a triangular number; three regressors make 6"
            )
        self._work = np.zeros((2, regressors))
        self.error_cov = np.array(np.transpose(covariance), dtype=np.float64, order="C")
        self.sums = np.stack([guess, np.ones_like(guess), guess])

    def update(self, regressors, valid, innovation, covariance, in_use) -> None:
        """Take one bin; shapes as in :meth:`bmi_runtime.calibration.monitor.Monitor.update`."""
        seen = (regressors, valid, innovation, covariance, in_use, self.error_cov, self.sums, self.estimate)
        if regressors.size == self._kernel.REGRESSORS:
            self._kernel.noise_step(*seen)
        else:
            self._kernel.noise_step_any(*seen, self._work)

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all that the next bin depends on."""
        return {name: getattr(self, name).copy() for name in ("estimate", "error_cov", "sums")}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Put a :meth:`state` back, in place."""
        for name, value in state.items():
            getattr(self, name)[...] = value
