"""Mixing several decoders by how well each predicted what was not yet learned from."""

import numpy as np

from bmi_runtime.kernels.history import simplex_weights


class Mixture:
    """A convex combination of experts, one set of weights per kinematic dimension.

    The weights minimise the weighted mean squared error of the combination over bins that were decoded with parameters
    published before (a blocked validation that runs along with the session), plus a small pull toward equal weights. At
    the optimum the combination is at least as good on those bins as any one expert.

    Parameters
    ----------
    experts, dims : int
    forgetting : float
        Errors of bin i of n weigh ``(i / n) ** forgetting``: early ones were made with parameters from little data.
    pull : float
        Weight of the pull, relative to the mean squared error of the experts.
    """

    ITERATIONS = 2000

    def __init__(self, experts: int, dims: int, forgetting: float = 1.0, pull: float = 0.01):
        self.weights = np.full((dims, experts), 1.0 / experts)
        self.forgetting = forgetting
        self.pull = pull
        self.bins = 0
        self._products = np.zeros((dims, experts, experts))
        self._work = np.empty(experts)

    def learn(self, estimates: np.ndarray, truth: np.ndarray) -> None:
        """Take in the errors of one bin; `estimates` has the shape (experts, dims), `truth` (dims,)."""
        error = (estimates - truth).T
        self.bins += 1
        self._products *= (1.0 - 1.0 / self.bins) ** self.forgetting
        self._products += error[:, :, None] * error[:, None, :]

    def refresh(self) -> None:
        """Recompute the weights."""
        if self.bins == 0:
            return
        for products, weights in zip(self._products, self.weights, strict=True):
            scale = self.pull * np.trace(products) / len(products)
            if scale > 0.0:
                matrix = products + scale * np.eye(len(products))
                simplex_weights(matrix, self.ITERATIONS, weights, self._work)

    def combine(self, estimates: np.ndarray) -> np.ndarray:
        """Return the combination, shape (dims,)."""
        return np.einsum("de,ed->d", self.weights, estimates)
