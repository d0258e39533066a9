"""Mixing several decoders by how well each predicted what was not yet learned from."""

import numpy as np

from bmi_runtime.kernels.history import simplex_weights

MAX_BATCHES = 64  # of errors that are kept
FIRST_BATCH_BINS = 8  # of a batch, doubled whenever they are all full
FOLDS = 8  # over which the gain of the mixture is cross-validated
ITERATIONS = 1000  # of the search on the simplex
YOUNG = 0.25  # share of the bins, the first ones, that do not count
LEAST_CONFIDENCE = 0.3  # where there is any gain (`Mixture`)


class Mixture:
    """A convex combination of experts, one set of weights per kinematic dimension.

    The weights minimise the weighted mean squared error of the combination over bins that were decoded with parameters
    published before: a blocked validation that runs along with the session. How much better the combination is than
    the best of the `plain` experts is estimated by cross-validation over batches of successive bins, with its standard
    error; where the gain is not clear the combination is drawn back to that plain expert, by the positive-part factor
    ``1 - (standard error / gain)^2`` (as in James and Stein's estimator; a choice, tested on simulated sessions), but
    not below 0.3 where there is any gain, as the errors of different experts partly cancel.

    Parameters
    ----------
    experts, dims : int
    plain : sequence of int
        Experts to fall back to.
    forgetting : float
        Errors of bin i of n weigh ``(i / n) ** forgetting``, the first quarter nothing: early ones were made with
        parameters from little data.
    pull : float
        Weight of a pull of the combination toward equal weights, relative to the mean squared error of the experts.
    """

    def __init__(self, experts: int, dims: int, plain, forgetting: float = 2.0, pull: float = 0.003):
        self.plain = np.asarray(plain)
        self.forgetting = forgetting
        self.pull = pull
        self.weights = np.zeros((dims, experts))
        self.weights[:, self.plain] = 1.0 / len(self.plain)
        self.confidence = np.zeros(dims)
        self._batches = np.zeros((MAX_BATCHES, dims, experts, experts))
        self._batch_bins = FIRST_BATCH_BINS
        self._bins = 0
        self._work = np.empty(experts)

    def learn(self, estimates: np.ndarray, truth: np.ndarray) -> None:
        """Add the errors of one bin; `estimates` has the shape (experts, dims), `truth` (dims,)."""
        error = (estimates - truth).T
        batch = self._bins // self._batch_bins
        if batch == MAX_BATCHES:  # pairs of batches become one: their number stays bounded, their length doubles
            self._batches[: MAX_BATCHES // 2] = self._batches[0::2] + self._batches[1::2]
            self._batches[MAX_BATCHES // 2 :] = 0.0
            self._batch_bins *= 2
            batch = self._bins // self._batch_bins
        self._batches[batch] += error[:, :, None] * error[:, None, :]
        self._bins += 1

    def refresh(self) -> None:
        """Recompute the weights."""
        used = -(-self._bins // self._batch_bins)
        if used < 2 * FOLDS:
            return
        age = (np.arange(used) + 1.0) / used
        for dim in range(len(self.weights)):
            products = (self._batches[:used, dim] * (age**self.forgetting)[:, None, None])[age > YOUNG]
            self.weights[dim], self.confidence[dim] = self._weights_of(products)

    def _weights_of(self, products):
        total = products.sum(axis=0)
        scale = np.trace(total) / len(total)
        if not scale > 0.0:
            return self.weights[0], 0.0
        products, total = products / scale, total / scale
        best = self.plain[np.argmin(np.diag(total)[self.plain])]
        gains = np.zeros(len(products))
        fold_of = np.arange(len(products)) * FOLDS // len(products)
        for fold in range(FOLDS):
            held = products[fold_of == fold]
            weights = self._optimum(total - held.sum(axis=0))
            gains[fold_of == fold] = held[:, best, best] - np.einsum("bij,i,j->b", held, weights, weights)
        gain, error = gains.sum(), gains.std(ddof=1) * np.sqrt(len(gains))
        confidence = 0.0 if gain <= 0.0 else max(LEAST_CONFIDENCE, 1.0 - (error / gain) ** 2)
        weights = confidence * self._optimum(total)
        weights[best] += 1.0 - confidence
        return weights, confidence

    def _optimum(self, products):
        count = len(products)
        weights = np.full(count, 1.0 / count)
        simplex_weights(products + self.pull * np.eye(count), ITERATIONS, weights, self._work)
        return weights

    def combine(self, estimates: np.ndarray) -> np.ndarray:
        """Return the combination, shape (dims,)."""
        return np.einsum("de,ed->d", self.weights, estimates)
