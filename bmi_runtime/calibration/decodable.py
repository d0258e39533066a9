"""Along which directions a pilot's units tell a velocity at all: units that are tuned alike leave one in the dark."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bmi_runtime.calibration.pilot import PilotFit

LONGEST_S = 10.0  # of a steady speed, that telling it from rest may take: nobody steers by what takes longer


@dataclass(frozen=True)
class Told:
    """One direction of the velocity.

    Attributes
    ----------
    direction : ndarray, (axes,)
        Of length one.
    seconds : float
        How long the pilot's own usual speed along it must last until its standard error is that speed; infinite where
        the gains along it are no larger than chance leaves them.
    """

    direction: np.ndarray
    seconds: float

    @property
    def decodable(self) -> bool:
        """Whether a cursor can be steered along it."""
        return self.seconds <= LONGEST_S


def directions(fit: PilotFit) -> list[Told]:
    """Return the directions of the velocity, the best told one first; none where rates do not depend on it.

    The information per second is sum_i lambda_i g_i g_i' (for features g g' over the noise per second), less what the
    gains' own sampling errors add to it, in velocities of the pilot's usual size. What correlates with the velocity
    (position, speed) is taken as known.
    """
    pilot, design = fit.pilot, fit.design
    moving = slice(1 + pilot.velocity.start, 1 + pilot.velocity.stop)
    gains = design.weights[:, moving]
    if not gains.shape[1]:
        return []
    if design.likelihood == "gaussian":
        per_s = 1.0 / (design.noise * design.bin_s)
    else:
        per_s = design.expected_counts().mean(axis=0) / design.bin_s
    errors = gain_covariance(fit)[:, moving, moving]
    known = np.einsum("n,nij->ij", per_s, gains[:, :, None] * gains[:, None, :] - errors)
    usual = np.sqrt((pilot.states[:, pilot.velocity] ** 2).mean(axis=0))
    values, vectors = np.linalg.eigh(known * np.outer(usual, usual))
    found = []
    for value, vector in zip(values[::-1], vectors.T[::-1], strict=True):
        along = vector * usual
        seconds = float(1.0 / value) if value > 0 else np.inf
        found.append(Told(along / np.linalg.norm(along), seconds))
    return found


def gain_covariance(fit: PilotFit) -> np.ndarray:
    """Return the sampling covariance of every unit's weights by the scores of blocks (the sandwich), (units, d, d)."""
    inverse = np.linalg.pinv(fit.curvature.sum(axis=0), hermitian=True)
    return inverse @ np.einsum("bni,bnj->nij", fit.score, fit.score) @ inverse


def why_not_steered(fit: PilotFit) -> str:
    """Return why no cursor can be steered with these units, or nothing where one can."""
    dark = [told for told in directions(fit) if not told.decodable]
    if not dark:
        return ""
    which = " and ".join("(" + ", ".join(f"{x:.2f}" for x in told.direction) + ")" for told in dark)
    if len(dark) == fit.pilot.velocity.stop - fit.pilot.velocity.start:
        return f"{LONGEST_S:g} s of a usual speed in any direction leave no more than chance in these units"
    units = "one unit tells" if fit.design.units == 1 else "these units together tell"
    return (
        f"{units} nothing of velocities along {which}: {LONGEST_S:g} s of a usual speed that way leave no more than "
        "chance"
    )
