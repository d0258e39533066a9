"""How a cursor follows the aim, learned while it moves: which share of it, with how much noise, and how lasting."""

from __future__ import annotations

import math

import numpy as np

MEMORY_S = 20.0  # of movement, over which gain, variance and persistence are averaged
PRIOR_S = 3.0  # so many seconds of movement are what is taken for granted at the start worth
WINDOW_S = 0.5  # about a movement: noise that lasts longer than it is the same all the time it is weighed
FIRST_NOISE = 0.05**2  # (m/s)^2 per axis
FIRST_AIM = 0.2**2  # (m/s)^2
FIRST_CORRELATION_S = 0.25  # of the noise, before any was seen
GAINS = (0.05, 5.0)  # a cursor beyond these is not steered
FREEDOM = 3.0  # degrees of freedom of the noise, which comes in bursts (`MovementNoise`)
JUMP = 0.05  # of the candidates' distance from the middle


def has_jumped(moved: np.ndarray, expected: np.ndarray, reach: float) -> bool:
    """Return whether a cursor was put elsewhere than its velocity says: a trial that starts over, with any goal.

    One that is held or stands at the edge of the workspace moves less than it says, and has not jumped.

    Parameters
    ----------
    moved, expected : ndarray, (axes,)
        By how much in a bin, and by how much its velocity says (NaN: not known).
    reach : float
        How far from the middle candidates are.
    """
    if not math.isfinite(expected @ expected):
        expected = np.zeros_like(moved)
    missed, least = moved - expected, max((JUMP * reach) ** 2, float(expected @ expected))
    return bool(missed @ missed > least)  # not before there was a bin: NaN


class MovementNoise:
    """Gain, variance and persistence of the seen velocity around the aim at the goal, forgotten exponentially.

    The seen velocity is ``v = g a + e`` with the aim `a` at the goal. What is not known of subject and decoder is
    learned from bins whose goal has been weighed by what followed, its likeliest candidate taken for the goal:

    - ``g = E v.a / E |a|^2``: subjects slower than assumed, decoders that are weak;
    - ``E |e|^2``, the variance;
    - how many bins of noise are worth one: with ``m <- m + w (e - m)`` over a movement's time, white noise has
      ``E |m|^2 = E |e|^2 w / (2 - w)``; what it has more is what bins repeat, and a bin counts 1 over that
      (``1 + 2 sum_l (1 - w)^l rho_l`` with the autocorrelations rho of e, as for any correlated score).

    The expectation over candidates would be the textbook's choice in place of the likeliest one. It has a second
    solution, in which nothing is known and all is noise: where a bin counts for a fraction, the spread over candidates
    is larger than the noise that makes it.

    Noise of real movements comes in bursts (reactions, corrections), which a normal distribution takes for evidence.
    Its variance is therefore taken as uncertain with `FREEDOM` degrees of freedom (Student's t; Lange et al. 1989).

    Parameters
    ----------
    bin_s : float
    n_axes : int
    learns_gain : bool
        Otherwise it is 1. On a grid a slow movement to a far goal is as good as one to a near goal; and over weeks of
        drift a gain that follows a decoder which grows weak leaves nothing that says so (docs/days.md).

    Attributes
    ----------
    gain : float
        Share of the aim with which the cursor moves.
    variance : float
        Of the noise, per axis, (m/s)^2.
    temper : float
        Share of a bin's log likelihood that is new, 0 to 1.
    """

    def __init__(self, bin_s: float, n_axes: int, learns_gain: bool = True):
        self.learns_gain, self.n_axes, self.memory = learns_gain, n_axes, min(bin_s / MEMORY_S, 1.0)
        self.weight = min(bin_s / WINDOW_S, 1.0)
        self._correlated_bins = max(FIRST_CORRELATION_S / bin_s, 1.0)
        self._prior = PRIOR_S / MEMORY_S
        self.lasting = np.zeros(n_axes)
        self.sums = np.zeros(5)  # how much was seen; of |a|^2, v.a, |e|^2, |m|^2
        self._settle()

    def learn(self, velocity: np.ndarray, aim: np.ndarray) -> None:
        """Learn from a bin: the seen velocity, and the aim at its goal, m/s."""
        noise = velocity - self.gain * aim
        self.lasting += self.weight * (noise - self.lasting)
        seen = (1.0, aim @ aim, velocity @ aim, noise @ noise, self.lasting @ self.lasting)
        self.sums += self.memory * (np.array(seen) - self.sums)
        self._settle()

    def _settle(self) -> None:
        known, aim, along, noise, lasting = self.sums.tolist()
        first_noise, first_aim = self._prior * self.n_axes * FIRST_NOISE, self._prior * FIRST_AIM
        gain = (along + first_aim) / (aim + first_aim) if self.learns_gain else 1.0
        self.gain = min(max(gain, GAINS[0]), GAINS[1])
        self.variance = (noise + first_noise) / (known + self._prior) / self.n_axes
        white = self.weight / (2.0 - self.weight)
        repeated = (lasting / white + first_noise * self._correlated_bins) / (noise + first_noise)
        self.temper = min(1.0, 1.0 / repeated)

    def snapshot(self) -> dict[str, np.ndarray]:
        """Return what the next bin depends on."""
        return {"sums": self.sums.copy(), "lasting": self.lasting.copy()}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        """Restore state saved by :meth:`snapshot`."""
        self.sums[:], self.lasting[:] = snapshot["sums"], snapshot["lasting"]
        self._settle()
