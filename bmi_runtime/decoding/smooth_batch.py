"""SmoothBatch: the tuning of a Kalman filter re-estimated batch by batch, and averaged with what it was.

References
----------
Orsborn, Dangi, Moorman, Carmena (2012) IEEE Trans. Neural Syst. Rehabil. Eng. 20:468.
"""

from __future__ import annotations

import numpy as np

from bmi_runtime.decoding.adapting_kalman import (
    AdaptingKalman,
    maximum_likelihood,
    moments,
    weight_kept,
    with_one,
)


class SmoothBatch(AdaptingKalman):
    """After every batch, ``C <- k C + (1 - k) C_batch`` and likewise the noise covariance.

    The batch's own are its maximum-likelihood estimates from intended velocities; ``k = 2 ** (-batch / half life)``.
    A batch is :data:`BATCH_S` long (the published ones were of one to two minutes).
    """

    BATCH_S = 60.0

    def seed(self, counts: np.ndarray, regressors: np.ndarray) -> None:
        """Start from the maximum-likelihood estimate of the calibration."""
        self.take(*maximum_likelihood(moments(counts, regressors)))
        self._batch: list[tuple[np.ndarray, np.ndarray]] = []

    def adapt(self, counts: np.ndarray, velocity: np.ndarray) -> None:
        """Put one bin into the batch; a whole one changes what the next bin is decoded with."""
        self._batch.append((np.asarray(counts, dtype=float)[self.units], np.array(velocity, dtype=float)))
        if len(self._batch) < round(self.BATCH_S / self.bin_s):
            return
        counted, velocities = (np.array(part) for part in zip(*self._batch, strict=True))
        self._batch = []
        tuning, noise = maximum_likelihood(moments(counted, with_one(velocities)))
        kept = weight_kept(self.BATCH_S, self.half_life_s)
        self.take(kept * self.tuning + (1.0 - kept) * tuning, kept * self.noise + (1.0 - kept) * noise)
