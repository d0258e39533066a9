"""Integrate the equation in time: adaptive steps, exact mass, positive densities, and an honest end at a blow-up."""

import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np

from bmi_runtime.analysis.fokker_planck import grid as grids
from bmi_runtime.analysis.fokker_planck.initial import masses
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.kernels import fokker_planck as kernels
from bmi_runtime.kernels.fokker_planck_fluxes import rate_of

CELLS_ACROSS_LAYER = 20.0  # the layer a / (b N) below V_F is trusted down to this many cells


@dataclasses.dataclass
class Solution:
    """A run: the density at the wanted times, the rate after every step, and what bounds its errors.

    Attributes
    ----------
    model, grid : Model, Grid
    times : float64 array (s,)
        Times of the kept densities.
    density : float64 array (s, n)
        p(v, t) at the nodes of the grid.
    resting : float64 array (s,)
        Mass in the refractory state.
    rate_times, rate : float64 arrays (k,)
        N(t) at t = 0 and after every accepted step.
    ended : str
        ``finished``, ``rate`` (N passed the stopping rate on its way up) or ``stuck`` (no step is small enough).
    mass_error, min_density, moved_mass : float
        Largest ``|mass - 1|`` so far, smallest density, and the mass that the positivity of the far tails cost in
        total.
    steps, rejected : int
    seconds : float
        CPU seconds of the integration.
    """

    model: Model
    grid: grids.Grid
    times: np.ndarray
    density: np.ndarray
    resting: np.ndarray
    rate_times: np.ndarray
    rate: np.ndarray
    ended: str
    mass_error: float
    min_density: float
    moved_mass: float
    steps: int
    rejected: int
    seconds: float


class DomainTooSmall(BmiError):
    """The density reached an artificial end of the domain.

    Attributes
    ----------
    end : {"lower", "upper"}
    where : float
        The end, as a potential.
    """

    def __init__(self, end: str, where: float, share: float):
        way = " (--upper-end)" if end == "upper" else ""
        super().__init__(
            f"the density reaches the {end} end of the domain, v = {where:g} (there it is {share:.1g} of its peak): "
            f"move it outwards{way}"
        )
        self.end, self.where = end, where


class Integrator:
    """The state of a run and its settings; :meth:`to` advances it.

    Parameters
    ----------
    model : Model
    grid : Grid
    mass : float64 array (n,)
        Masses of the cells at t = 0.
    tolerance : float
        Largest error of a step: the L1 norm of the density, and N relative to 1 + N.
    fixed_step : float
        Take steps of this length instead of adapting them; 0 adapts.
    stop_rate : float
        Stop when N passes this on its way up.
    resting : float
        Mass in the refractory state at t = 0 (`mass` then sums to one minus this).
    """

    def __init__(self, model, grid, mass, tolerance=1e-8, fixed_step=0.0, stop_rate=math.inf, resting=0.0):
        _check_steps(model, tolerance, fixed_step)
        self.model, self.grid = model, grid
        self.mass = np.array(mass, float)
        self.settings = model.settings()
        self.current = np.ascontiguousarray(model.current_table())
        self.control = np.array([tolerance, fixed_step, stop_rate, max(tolerance, 1e-13), 1e-15])
        self.state = np.zeros(11)
        first = 0.2 * tolerance**0.25  # a start that is too bold costs a few rejected steps, a timid one many accepted
        self.state[kernels.STEP] = min(first, 1e-2 * model.delay) if model.delay > 0 else first
        self.state[kernels.REST] = resting
        self.state[kernels.LOWEST] = math.inf
        self._work = np.zeros((18, grid.v.size))
        self._new = np.zeros(grid.v.size)
        self.past = np.zeros((3, 4096))
        self.count = 0
        self._start()

    def _start(self):
        drive = self.model.rate_before if self.model.delay > 0 else math.nan
        rate, _ = rate_of(
            self.mass, self.grid.sink, self.grid.table, self.settings, float(self.model.current_table()[1][0]), drive
        )
        if math.isnan(rate):
            raise BadInput("the density next to V_F is too large for a solution at t = 0: the blow-up is instantaneous")
        self.state[kernels.RATE] = self.state[kernels.TROUGH] = rate
        self.past[:, 0] = 0.0, rate, self.state[kernels.REST]
        self.count = 1

    @property
    def time(self) -> float:
        """Return the time reached."""
        return float(self.state[kernels.T])

    @property
    def rate(self) -> float:
        """Return N at the time reached."""
        return float(self.state[kernels.RATE])

    def to(self, until: float, advance: Callable[[float], None] | None = None) -> int:
        """Advance to the time `until`; return one of the kernels' REACHED, STOP_RATE and STUCK.

        `advance` hears how much time has been covered.
        """
        for stop in [*self._breaks(until), until]:
            before = self.time
            why = self._segment(stop)
            if why != kernels.REACHED:
                return why
            if advance is not None:
                advance(stop - before)
        return kernels.REACHED

    def _segment(self, until):
        while True:
            why, self.count = kernels.advance(
                self.mass,
                until,
                self.grid.reset,
                self.grid.table,
                self.grid.sink,
                self.settings,
                self.current,
                self.past,
                self.count,
                self.control,
                self.state,
                self._work,
                self._new,
            )
            if why != kernels.FULL:
                return why
            self.past = np.concatenate([self.past, np.zeros_like(self.past)], axis=1)

    def _breaks(self, until):
        """Return the times before `until` at which the current has a kink or the delayed rate starts."""
        times = [t for t in self.current[0] if self.time < t < until] if self.current.shape[1] > 1 else []
        delay = self.model.delay
        if delay > 0:
            times += [k * delay for k in range(1, 6) if self.time < k * delay < until]
        return sorted(times)


def _check_steps(model, tolerance, fixed_step):
    if not 1e-13 <= tolerance <= 1e-2:
        raise BadInput(f"a tolerance of {tolerance:g} is outside what double precision can keep: choose 1e-13 to 1e-2")
    if fixed_step < 0:
        raise BadInput(f"the step {fixed_step:g} is negative")
    if model.delay > 0 and fixed_step > model.delay:
        raise BadInput(
            f"a step of {fixed_step:g} cannot resolve the delay {model.delay:g}: the rate it needs is not known yet; "
            f"use a step of at most {model.delay / 4:g}"
        )
    if 0 < model.delay < 1e-6:
        raise BadInput(f"no time step resolves a delay of {model.delay:g}: use 0, or at least 1e-6")


def evolve(
    model: Model,
    initial,
    duration: float,
    *,
    grid: grids.Grid | None = None,
    cells: int = 400,
    tolerance: float = 1e-8,
    fixed_step: float = 0.0,
    stop_rate: float | None = None,
    snapshots: int = 200,
    v_max: float | None = None,
    advance: Callable[[float], None] | None = None,
) -> Solution:
    """Integrate from an initial density for `duration`, or up to a rate that the grid can just resolve.

    Parameters
    ----------
    model : Model
    initial : callable
        Density of v, for example :class:`~bmi_runtime.analysis.fokker_planck.initial.Gaussian`.
    duration : float
    grid : Grid, optional
        By default :func:`default_grid`.
    cells, tolerance, fixed_step
        See :func:`~bmi_runtime.analysis.fokker_planck.grid.build` and :class:`Integrator`.
    stop_rate : float, optional
        By default the rate at which the boundary layer ``a / (b N)`` is 20 cells thick.
    snapshots : int
        Number of densities kept, evenly spaced from 0 to `duration`.
    v_max : float, optional
        Upper end of the domain with a random threshold.

    Returns
    -------
    Solution

    Raises
    ------
    BadInput
        When the duration is not positive and finite.
    """
    if not (math.isfinite(duration) and duration > 0):
        raise BadInput(f"the duration {duration:g} must be positive and finite")
    grid = grid or default_grid(model, initial, cells, v_max=v_max)
    stop = stop_rate if stop_rate is not None else resolvable_rate(model, grid)
    run = Integrator(model, grid, masses(initial, model, grid), tolerance, fixed_step, stop)
    started = time.process_time()
    times = np.linspace(0.0, duration, max(2, snapshots))
    kept, density, resting, why = [0.0], [run.mass / grid.width], [0.0], kernels.REACHED
    for until in times[1:]:
        why = run.to(float(until), advance)
        kept.append(run.time)
        density.append(run.mass / grid.width)
        resting.append(float(run.state[kernels.REST]))
        if why != kernels.REACHED:
            break
    return _solution(run, np.array(kept), np.array(density), np.array(resting), why, time.process_time() - started)


def _solution(run, times, density, resting, why, seconds):
    state = run.state
    ended = {kernels.REACHED: "finished", kernels.STOP_RATE: "rate", kernels.STUCK: "stuck"}[why]
    solution = Solution(
        run.model,
        run.grid,
        times,
        density,
        resting,
        run.past[0, : run.count].copy(),
        run.past[1, : run.count].copy(),
        ended,
        float(state[kernels.DEFECT]),
        float(min(state[kernels.LOWEST], density[0].min())),
        float(state[kernels.MOVED]),
        int(state[kernels.ACCEPTED]),
        int(state[kernels.REJECTED]),
        seconds,
    )
    _check_ends(solution)
    return solution


def _check_ends(solution):
    """Refuse a run whose density reached the artificial ends of the domain."""
    peak = solution.density.max()
    ends = [("lower", 0, solution.grid.v[0])]
    if solution.model.threshold_eps > 0:
        ends.append(("upper", -1, solution.grid.v[-1]))
    for name, index, where in ends:
        worst = float(solution.density[:, index].max() / peak)
        if worst > 1e-6:
            raise DomainTooSmall(name, float(where), worst)


def default_grid(
    model: Model, initial, cells: int = 400, finest: float | None = None, v_max: float | None = None
) -> grids.Grid:
    """Return a grid for a run: wide enough for the inhibition, graded towards V_F where a layer can form.

    `v_max` is the upper end of the domain with a random threshold; by default it follows from noise and drive.

    Raises
    ------
    BadInput
        When an upper end is given for a sharp threshold.
    """
    low, high = initial.spread() if hasattr(initial, "spread") else (model.v_reset - 4, model.v_threshold)
    current = model.current_table()[1]
    pull = max(0.0, -model.b) * (1.0 + 0.3) + model.a1 * max(0.0, -model.b)
    bottom = min(low, model.v_reset, float(current.min()))
    v_min = min(bottom, bottom - pull) - 7.0 * math.sqrt(model.a0 * (1.0 + model.a1))
    if model.threshold_eps == 0 and v_max is not None:
        raise BadInput("a sharp threshold is the upper end of the domain: --upper-end goes with --threshold-eps")
    if model.threshold_eps > 0 and v_max is None:
        push = max(0.0, model.b) + max(0.0, float(current.max()) - model.v_threshold)
        v_max = model.v_threshold + 7.0 * math.sqrt(model.a0 * (1.0 + model.a1)) + push
    if finest is None and (model.b > 0 or model.a1 > 0) and model.threshold_eps == 0:
        finest = (1e-5 if model.delay > 0 else 1e-4) * (model.v_threshold - model.v_reset)
    if finest is None and model.threshold_eps > 0:
        finest = 0.02 * math.sqrt(model.a0 * model.threshold_eps)
    if high - low < 1.0 and finest is None:
        finest = 0.02 * (high - low)
    return grids.build(model, cells, v_min, v_max, finest)


def resolvable_rate(model: Model, grid: grids.Grid) -> float:
    """Return the rate at which the layer ``a / (b N)`` below a sharp threshold is 20 cells thick (infinite where none
    forms).
    """
    if model.threshold_eps > 0 or (model.b <= 0 and model.a1 == 0):
        return math.inf
    if model.b <= 0:
        return 1e4
    across = CELLS_ACROSS_LAYER * grid.gap_at_threshold * model.b
    room = across if model.a1 == 0 else max(across - model.a1, 1e-6)
    return model.a0 / room
