"""Joint second moments of a bin's counts, of the counts before it and of the kinematics around it.

They are sufficient for every linear-Gaussian model that :mod:`bmi_runtime.decoding.history` uses: the regression of the
counts on the kinematics (encoding), of the kinematics on their own past (dynamics) and of the kinematics on the counts
(direct decoding). Taking a bin in is a symmetric update of bounded size, whatever was learned before.
"""

import numpy as np
from scipy.linalg import blas

BLOCK_BINS = 16  # gathered into one product of matrices


class JointMoments:
    """Weighted sums of ``z z'`` over bins, ``z[0] = 1``, optionally with power-law forgetting.

    Bin i of n has the weight ``(i / n) ** forgetting``: 0 weighs all bins alike; 3 makes the newest quarter as heavy as
    the rest together, however long the session lasts (derived here: the block update ``M <- ((n - b) / n)^k M + Z' Z``
    telescopes to that weight).

    Parameters
    ----------
    size : int
        Length of z.
    forgetting : float
        The exponent.
    """

    def __init__(self, size: int, forgetting: float = 0.0):
        self.size = size
        self.forgetting = forgetting
        self.bins = 0
        self._sums = np.zeros((size, size), order="F")
        self._block = np.zeros((size, BLOCK_BINS), order="F")
        self._waiting = 0

    def add(self, z: np.ndarray) -> None:
        """Process one bin."""
        self._block[:, self._waiting] = z
        self._waiting += 1
        if self._waiting == BLOCK_BINS:
            self._flush()

    def _flush(self):
        if not self._waiting:
            return
        self.bins += self._waiting
        kept = (1.0 - self._waiting / self.bins) ** self.forgetting
        block = self._block[:, : self._waiting]
        self._sums = blas.dsyrk(1.0, block, beta=kept, c=self._sums, overwrite_c=1, lower=1)
        self._waiting = 0

    def centred(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the total weight, the mean of ``z[1:]`` and its centred sum of squares."""
        self._flush()
        full = self._sums + self._sums.T  # above the diagonal the sums are 0
        full.flat[:: self.size + 1] *= 0.5
        weight = full[0, 0]
        mean = full[1:, 0] / weight
        explained = np.outer(mean, mean)
        explained *= weight
        return weight, mean, np.subtract(full[1:, 1:], explained, out=explained)
