"""A Kalman filter decoder with given parameters, in the two forms in which laboratories publish them.

From a state-space model ``x[t] = A x[t-1] + b + w, w ~ N(0, Q)`` and ``z[t] = C x[t] + d + v, v ~ N(0, R)`` the steady
gain K solves the Riccati equation, and a step is ``x[t] = M0 + M1 x[t-1] + M2 z[t]`` with

    M1 = A - K C A,   M2 = K,   M0 = (I - K C) b - K d.

(Kalman 1960; the constant-gain form of Malik et al. 2011, IEEE TNSRE 19:25.) Where z is itself an affine function of
the counts u (standardised, or factors of a factor analysis), ``z = B (u - mu)``, the step is of that form in u as well.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bmi_runtime.errors import BadInput

MAX_ITERATIONS = 100_000  # of the Riccati recursion


@dataclasses.dataclass(frozen=True)
class SteadyState:
    """What the Riccati iteration settles at: gain (states x channels), covariances before and after a bin."""

    gain: np.ndarray
    predicted_covariance: np.ndarray
    covariance: np.ndarray


def steady_state(
    transition, observation, transition_covariance, observation_covariance, tolerance: float = 1e-15
) -> SteadyState:
    """Return the steady gain of a Kalman filter by iterating its Riccati recursion.

    Parameters
    ----------
    transition : array, shape (states, states)
        A.
    observation : array, shape (channels, states)
        C.
    transition_covariance : array, shape (states, states)
        Q.
    observation_covariance : array, shape (channels, channels)
        R.
    tolerance : float
        Largest relative change of the covariance at which the iteration ends.

    Raises
    ------
    BadInput
        When shapes do not fit, a covariance is not positive, or the recursion does not settle.
    """
    a, c, q, r = _checked(transition, observation, transition_covariance, observation_covariance)
    information = c.T @ np.linalg.solve(r, c)
    identity = np.eye(len(a))
    predicted = q.copy()
    for _ in range(MAX_ITERATIONS):
        covariance = np.linalg.solve(identity + predicted @ information, predicted)
        after = a @ covariance @ a.T + q
        after = 0.5 * (after + after.T)
        change = np.abs(after - predicted).max()
        predicted = after
        if change <= tolerance * np.abs(predicted).max():
            break
    else:
        raise BadInput(f"the Riccati recursion of these parameters did not settle in {MAX_ITERATIONS} bins")
    gain = np.linalg.solve(c @ predicted @ c.T + r, c @ predicted).T
    covariance = predicted - gain @ c @ predicted
    return SteadyState(gain, predicted, 0.5 * (covariance + covariance.T))


def _checked(transition, observation, transition_covariance, observation_covariance):
    a, c, q, r = (
        np.atleast_2d(np.asarray(value, dtype=float))
        for value in (transition, observation, transition_covariance, observation_covariance)
    )
    states, channels = len(a), len(c)
    shapes = {"A": (a, (states, states)), "C": (c, (channels, states)), "Q": (q, (states, states))}
    for name, (value, shape) in {**shapes, "R": (r, (channels, channels))}.items():
        if value.shape != shape:
            raise BadInput(
                f"{name} has the shape {value.shape}; with {states} states and {channels} channels it is {shape}"
            )
        if not np.isfinite(value).all():
            raise BadInput(f"{name} holds a value that is not finite")
    for name, value in (("Q", q), ("R", r)):
        if not np.allclose(value, value.T) or np.linalg.eigvalsh(value).min() < (0.0 if name == "Q" else 1e-300):
            raise BadInput(
                f"{name} is not a covariance matrix (symmetric, {name} >= 0{', invertible' * (name == 'R')})"
            )
    return a, c, q, r


class LinearKalmanDecoder:
    """Decode with given parameters: ``x[t] = M0 + M1 x[t-1] + M2 u[t]``.

    Parameters
    ----------
    offset : array, shape (states,)
        M0.
    transition : array, shape (states, states)
        M1.
    gain : array, shape (states, units)
        M2.
    start : array, shape (states,), optional
        State after :meth:`reset`; zero by default.
    position_scale : float
        What a bin at unit velocity adds to the position (the bin width in seconds when position is in the unit of
        length of the velocity).

    Raises
    ------
    BadInput
        When shapes do not fit.
    """

    def __init__(self, offset, transition, gain, start=None, position_scale: float = 0.0):
        self.offset = np.asarray(offset, dtype=float).reshape(-1)
        states = len(self.offset)
        self.transition = np.asarray(transition, dtype=float)
        self.gain = np.asarray(gain, dtype=float)
        if self.transition.shape != (states, states) or self.gain.ndim != 2 or len(self.gain) != states:
            raise BadInput(
                f"M1 and M2 must be ({states}, {states}) and ({states}, units) as M0 has {states} states; "
                f"they are {self.transition.shape} and {self.gain.shape}"
            )
        self.start = np.zeros(states) if start is None else np.asarray(start, dtype=float).reshape(states)
        self.position_scale = position_scale
        self.variance = np.full(4, np.nan)
        self.reset()

    @classmethod
    def from_model(cls, transition, observation, transition_covariance, observation_covariance, **more):
        """Return the decoder of a state-space model A, C, Q, R.

        Parameters
        ----------
        **more
            ``drift`` b and ``baseline`` d of the model (zero by default), ``projection`` B (channels x units) and
            ``unit_mean`` mu (units) where channels are ``B (u - mu)``; the rest as for the class.
        """
        a, c = np.atleast_2d(np.asarray(transition, float)), np.atleast_2d(np.asarray(observation, float))
        steady = steady_state(a, c, transition_covariance, observation_covariance)
        gain, drift = steady.gain, np.asarray(more.pop("drift", np.zeros(len(a))), float)
        baseline = np.asarray(more.pop("baseline", np.zeros(len(c))), float)
        projection = np.asarray(more.pop("projection", np.eye(len(c))), float)
        unit_mean = np.asarray(more.pop("unit_mean", np.zeros(projection.shape[1])), float)
        offset = drift - gain @ (c @ drift + baseline + projection @ unit_mean)
        return cls(offset, a - gain @ c @ a, gain @ projection, **more)

    def reset(self) -> None:
        """Go back to the start."""
        self.state = self.start.copy()
        self._position = np.zeros(2)

    def step(self, values: np.ndarray) -> np.ndarray:
        """Take one bin of counts or factors in; return the state, shape (states,)."""
        self.state = self.offset + self.transition @ self.state + self.gain @ values
        return self.state

    def drive(self, values: np.ndarray) -> np.ndarray:
        """Return what the bin alone asks for, ``M0 + M2 u`` (``vraw`` in the published data)."""
        return self.offset + self.gain @ values

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Process one bin and return x, y, vx, vy (a state of two is a velocity, whose integral is the position)."""
        state = self.step(np.asarray(counts, dtype=float))
        if len(state) == 2:
            self._position = self._position + self.position_scale * state
            return np.concatenate([self._position, state])
        return state[:4].copy()

    def observe(self, counts: np.ndarray) -> None:
        """Process one bin and discard the estimate."""
        self.predict(counts)

    def on_done(self) -> None:
        """Notify the decoder that a trial ended: nothing changes."""
