"""A static cubic behind a decoder, learned beside it: for what a linear read-out leaves of a bent relation.

The idea is that of the Wiener cascade (Pohlmeyer et al. 2007, J. Neural Eng. 4:369); that it is learned bin by bin from
what was decoded before the bin was learned from, and used only where it has proved itself so, is ours.
"""

import numpy as np

ORDER = 3
FORGETTING = 2.0  # exponent of (i / n), by which bin i of n weighs
FEWEST_BINS = 200  # that centre and scale are taken from
RIDGE = 1e-6  # relative, so that powers that hardly vary do not make the system singular
LEAST_GAIN = 0.02  # of the squared error; less may be chance


class CubicCorrection:
    """One cubic per dimension, from what was decoded to what was true.

    Bin i of n weighs ``(i / n) ** 2``, as in the mixture before it. Each published cubic is scored on the bins after
    it, against leaving the decoded value as it is; where it has not been clearly better so far, it is not used.

    Parameters
    ----------
    dims : int
    """

    def __init__(self, dims: int):
        self.used = np.zeros(dims, dtype=bool)
        self.centre, self.scale = np.zeros(dims), np.ones(dims)
        self.coefficients = np.zeros((dims, ORDER + 1))
        self.range = np.zeros((2, dims))
        self._ready = False
        self._bins = 0
        self._gram = np.zeros((dims, ORDER + 1, ORDER + 1))
        self._cross = np.zeros((dims, ORDER + 1))
        self._error = np.zeros((2, dims))
        self._first: list[np.ndarray] = []

    def learn(self, decoded: np.ndarray, truth: np.ndarray) -> None:
        """Learn from one bin that was decoded before it was learned from, both of shape (dims,)."""
        if self._ready:
            kept = (self._bins / (self._bins + 1.0)) ** FORGETTING
            self._error *= kept
            self._error[0] += (decoded - truth) ** 2
            self._error[1] += (self._corrected(decoded) - truth) ** 2
        self._bins += 1
        if self._bins <= FEWEST_BINS:
            self._first.append(np.array([decoded, truth]))
            if self._bins == FEWEST_BINS:
                self._begin()
            return
        self._add(decoded, truth)

    def _begin(self):
        """Take centre and scale from the first bins, and add them."""
        first = np.array(self._first)
        self.centre, self.scale = first[:, 0].mean(axis=0), first[:, 0].std(axis=0) + 1e-12
        self.range = np.array([first[:, 0].min(axis=0), first[:, 0].max(axis=0)])
        for decoded, truth in first:
            self._add(decoded, truth)
        self._first = []

    def _add(self, decoded, truth):
        powers = self._powers(decoded)
        kept = (1.0 - 1.0 / max(self._bins, 2)) ** FORGETTING
        self._gram = kept * self._gram + powers[:, :, None] * powers[:, None, :]
        self._cross = kept * self._cross + powers * truth[:, None]
        self.range[0] = np.minimum(self.range[0], decoded)
        self.range[1] = np.maximum(self.range[1], decoded)

    def _powers(self, decoded):
        return ((decoded - self.centre) / self.scale)[:, None] ** np.arange(ORDER + 1)

    def _corrected(self, decoded):
        return (self._powers(np.clip(decoded, *self.range)) * self.coefficients).sum(axis=1)

    def publish(self) -> None:
        """Take new cubics, and use those of the dimensions in which the ones before were better than none."""
        if self._bins < FEWEST_BINS:
            return
        ridge = RIDGE * np.einsum("dii->d", self._gram)[:, None, None] * np.eye(ORDER + 1)
        self.coefficients = np.linalg.solve(self._gram + ridge, self._cross[:, :, None])[:, :, 0]
        self.used = self._error[1] < (1.0 - LEAST_GAIN) * self._error[0]
        self._ready = True

    def parameters(self) -> dict[str, np.ndarray]:
        """Return what was published last."""
        return {name: np.array(getattr(self, name)) for name in ("used", "centre", "scale", "coefficients", "range")}

    def take(self, parameters: dict[str, np.ndarray]) -> None:
        """Take :meth:`parameters` of before, in place of publishing."""
        for name, value in parameters.items():
            setattr(self, name, value)
        self._ready = True

    def apply(self, decoded: np.ndarray) -> np.ndarray:
        """Return what was decoded, bent in the dimensions where that has proved itself, shape (dims,)."""
        return np.where(self.used, self._corrected(decoded), decoded) if self._ready else decoded
