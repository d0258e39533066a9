"""Runs of coupled populations: densities and rates in time, and a blow-up in any of them with its error bar."""

import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np

from bmi_runtime.analysis.fokker_planck import blow_up
from bmi_runtime.analysis.fokker_planck import grid as grids
from bmi_runtime.analysis.fokker_planck.evolve import CELLS_ACROSS_LAYER, DomainTooSmall
from bmi_runtime.analysis.fokker_planck.initial import masses
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.analysis.fokker_planck.populations import Populations
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.kernels import coupled_populations as kernels
from bmi_runtime.kernels import coupled_rates
from bmi_runtime.kernels import fokker_planck as codes


@dataclasses.dataclass
class CoupledRun:
    """A run.

    Attributes
    ----------
    v : float64 array (n, m)
        Nodes of the grids.
    times : float64 array (s,)
    density : float64 array (s, n, m)
    rate_times : float64 array (k,)
    rates : float64 array (k, n)
        After every accepted step.
    ended : {"finished", "rate", "stuck"}
    which : int
        Population that outgrew its grid, or -1.
    mass_error, min_density : float
    steps, rejected : int
    seconds : float
        CPU seconds.
    """

    v: np.ndarray
    times: np.ndarray
    density: np.ndarray
    rate_times: np.ndarray
    rates: np.ndarray
    ended: str
    which: int
    mass_error: float
    min_density: float
    steps: int
    rejected: int
    seconds: float


def _grids(net: Populations, initial, cells: int, finest: float | None) -> list[grids.Grid]:
    """Return a grid for every population, all of the same number of cells."""
    lows = [density.spread()[0] for density in initial]
    pull = np.maximum(-net.b, 0.0).sum(axis=1)  # an inhibitory rate of one, which is much
    bottom = min(float(np.minimum(net.v_reset, net.current).min()), *lows) - float(pull.max())
    v_min = bottom - 6.0 * math.sqrt(float((net.a0 + net.a.sum(axis=1)).max()))
    nodes = []
    for k in range(net.count):
        alone = net.alone(k, 0.0, 1.0)
        nodes.append((alone, grids.build(alone, cells, v_min, None, finest)))
    most = max(each.v.size for _, each in nodes)
    return [_padded(alone, each, most) for alone, each in nodes]


def _padded(alone: Model, grid: grids.Grid, size: int) -> grids.Grid:
    """Return the grid with further cells below its lower end, `size` in all."""
    missing = size - grid.v.size
    if missing == 0:
        return grid
    first = grid.v[1] - grid.v[0]
    below = grid.v[0] - first * np.arange(missing, 0, -1)
    return grids.of_nodes(alone, np.r_[below, grid.v, alone.v_threshold], False)


def stopping_rates(net: Populations, each: list[grids.Grid]) -> np.ndarray:
    """Return the rate (n,) of every population at which the layer that its own excitation makes is 20 cells thick."""
    stop = np.full(net.count, math.inf)
    for k, grid in enumerate(each):
        gain = float(np.maximum(net.b[k], 0.0).max())
        across = CELLS_ACROSS_LAYER * grid.gap_at_threshold * gain
        if gain > 0:
            stop[k] = net.a0[k] / max(across - float(net.a[k].max()), 1e-6 if net.a[k].any() else across)
        elif net.a[k].any():
            stop[k] = 1e4
    return stop


class CoupledIntegrator:
    """The state of a run; :meth:`to` advances it.

    Parameters
    ----------
    net : Populations
    each : list of Grid
    mass : float64 array (n, m)
    tolerance, fixed_step : float
    stop : float64 array (n,)
        Rates at which to stop.
    """

    def __init__(self, net, each, mass, tolerance, fixed_step, stop):
        self.net, self.mass = net, np.ascontiguousarray(mass)
        self.tables = np.ascontiguousarray([grid.table for grid in each])
        self.resets = np.array([grid.reset for grid in each])
        self.settings = np.array([net.a0, net.current, net.refractory])
        n, m = self.mass.shape
        self.control = np.r_[tolerance, fixed_step, max(tolerance, 1e-13), 1e-15, stop]
        self.state = np.zeros((n, 11))
        self.state[:, codes.LOWEST] = math.inf
        first = 0.2 * tolerance**0.25
        delays = net.delay[net.delay > 0]
        self.state[0, codes.STEP] = min(first, 1e-2 * float(delays.min())) if delays.size else first
        self.work, self.new = np.zeros((16, n, m)), np.zeros((n, m))
        self.past, self.count = np.zeros((1 + n, 4096)), 1
        self._start()

    def _start(self):
        now_b, now_a = (np.where(self.net.delay > 0, 0.0, x) for x in (self.net.b, self.net.a))
        rates, slopes = np.zeros(self.net.count), np.zeros((self.net.count, self.net.count))
        if not coupled_rates.instant_rates(
            np.ascontiguousarray(self.mass[:, -1]), self.tables, now_b, now_a, self.net.current.copy(),
            self.net.a0.copy(), rates, slopes,
        ):  # fmt: skip
            raise BadInput("the densities next to V_F are too large for a solution: the blow-up is instantaneous")
        self.state[:, codes.RATE] = self.state[:, codes.TROUGH] = rates
        self.past[1:, 0] = rates

    def to(self, until: float) -> tuple[int, int]:
        """Advance; return one of REACHED, STOP_RATE, STUCK, and the population that outgrew its grid."""
        breaks = {k * d for d in np.unique(self.net.delay[self.net.delay > 0]) for k in range(1, 6)}
        for stop in [*sorted(x for x in breaks if float(self.state[0, codes.T]) < x < until), until]:
            why, which = self._segment(float(stop))
            if why != codes.REACHED:
                return why, which
        return codes.REACHED, -1

    def _segment(self, until):
        net = self.net
        while True:
            why, self.count, which = kernels.advance(
                self.mass, until, self.resets, self.tables, net.b, net.a, net.delay, self.settings, self.past,
                self.count, self.control, self.state, self.work, self.new,
            )  # fmt: skip
            if why != codes.FULL:
                return why, which
            self.past = np.concatenate([self.past, np.zeros_like(self.past)], axis=1)


def evolve(
    net: Populations,
    initial: list,
    duration: float,
    *,
    cells: int = 400,
    tolerance: float = 1e-8,
    fixed_step: float = 0.0,
    snapshots: int = 200,
    finest: float | None = None,
    stop: np.ndarray | None = None,
    advance: Callable[[float], None] | None = None,
) -> CoupledRun:
    """Integrate from initial densities, one a population, for `duration` or up to rates that the grids just resolve.

    Parameters
    ----------
    net : Populations
    initial : list of callables
        Densities with ``spread()``.
    duration : float
    cells : int
    tolerance : float
        Largest error of a step, of the worst population.
    fixed_step : float
        Steps of this length; 0 adapts.
    snapshots : int
    finest : float, optional
        Size of the cells at V_F; by default 1e-4 of V_F - V_R where anything excites, nearly uniform otherwise.
    stop : float64 array (n,), optional
        Rates to stop at; by default :func:`stopping_rates`.

    Raises
    ------
    BadInput
        When the duration or the tolerance cannot be.
    """
    if not (math.isfinite(duration) and duration > 0):
        raise BadInput(f"the duration {duration:g} must be positive and finite")
    if not 1e-13 <= tolerance <= 1e-2:
        raise BadInput(f"a tolerance of {tolerance:g} is outside what double precision can keep: choose 1e-13 to 1e-2")
    if finest is None and ((net.b > 0).any() or net.a.any()):
        finest = 1e-4 * float((net.v_threshold - net.v_reset).min())
    each = _grids(net, initial, cells, finest)
    mass = np.array([masses(initial[k], net.alone(k, 0.0, 1.0), each[k]) for k in range(net.count)])
    run = CoupledIntegrator(net, each, mass, tolerance, fixed_step, stopping_rates(net, each) if stop is None else stop)
    width = np.array([grid.width for grid in each])
    started, kept, density = time.process_time(), [0.0], [run.mass / width]
    why, which = codes.REACHED, -1
    for until in np.linspace(0.0, duration, max(2, snapshots))[1:]:
        before = float(run.state[0, codes.T])
        why, which = run.to(float(until))
        kept.append(float(run.state[0, codes.T]))
        density.append(run.mass / width)
        if advance is not None:
            advance(kept[-1] - before)
        if why != codes.REACHED:
            break
    return _finished(run, each, np.array(kept), np.array(density), why, which, time.process_time() - started)


def _finished(run, each, times, density, why, which, seconds):
    peak = density.max(axis=(0, 2))
    for k, grid in enumerate(each):
        worst = float(density[:, k, 0].max() / peak[k])
        if worst > 1e-6:
            raise DomainTooSmall("lower", float(grid.v[0]), worst)
    return CoupledRun(
        np.array([grid.v for grid in each]),
        times,
        density,
        run.past[0, : run.count].copy(),
        run.past[1:, : run.count].T.copy(),
        {codes.REACHED: "finished", codes.STOP_RATE: "rate", codes.STUCK: "stuck"}[why],
        int(which),
        float(run.state[:, codes.DEFECT].max()),
        float(run.state[:, codes.LOWEST].min()),
        int(run.state[0, codes.ACCEPTED]),
        int(run.state[0, codes.REJECTED]),
        seconds,
    )


@dataclasses.dataclass(frozen=True)
class CoupledBlowUp:
    """A blow-up: the population that it starts from, time, error bar, and the largest eigenvalue of the feedback of
    rates on rates through the layers below V_F, which tends to 1.
    """

    which: int
    time: float
    error: float
    feedback: float


def locate(net: Populations, initial: list, duration: float, cells: int = 400) -> CoupledBlowUp | None:
    """Return the blow-up before `duration`, or None where the finest grid follows the rates down again.

    As for one population (:func:`.blow_up.locate`): three grids, two tolerances, ``N^-2`` extrapolated to zero.

    Raises
    ------
    BmiError
        When a rate outgrew the grid without the signature of a blow-up.
    """
    finest = 1e-5 * float((net.v_threshold - net.v_reset).min())
    stop = stopping_rates(net, _grids(net, initial, cells // 2, finest))
    runs = [
        evolve(net, initial, duration, cells=count, finest=finest, stop=stop, snapshots=2, tolerance=accuracy)
        for count, accuracy in ((2 * cells, 1e-7), (cells, 1e-7), (cells // 2, 1e-7), (cells // 2, 3e-6))
    ]
    if any(run.ended == "finished" for run in runs):
        return None
    feedback, which = _feedback(net, runs[0])
    found = [blow_up.extrapolate(run.rate_times, run.rates[:, which]) for run in runs]
    if feedback < blow_up.CLOSE:
        raise BmiError(
            f"the rate of {net.names[which]} outgrew the grid at t = {runs[0].times[-1]:.6g} without the "
            f"signature of a blow-up (feedback {feedback:.2f}): use more --cells"
        )
    ends = [end for end, _ in found]
    best, before = ends[0] + (ends[0] - ends[1]) / 3.0, ends[1] + (ends[1] - ends[2]) / 3.0
    error = abs(best - before) + 0.02 * abs(ends[0] - ends[1]) + 10.0 * abs(ends[2] - ends[3]) + abs(found[0][1])
    return CoupledBlowUp(which, best, error, feedback)


def _feedback(net, run):
    """Return the largest eigenvalue of the feedback at the end of a run, and the population that its loop starts from.

    A spike of population l takes ``b_kl p_k`` neurons of k across V_F, p_k the density below the layer that a strong
    drive leaves there, and ``a_kl |dp_k/dv|`` by noise.
    """
    rates, density = run.rates[-1], run.density[-1]
    drift, diffusion = net.drift(rates), net.diffusion(rates)
    gain = net.a * (rates / diffusion)[:, None]
    for k in range(net.count):
        layer = float(diffusion[k] / max(drift[k] - net.v_threshold[k], 1e-300))
        if layer < 0.02 * (net.v_threshold[k] - net.v_reset[k]):
            below = np.interp(net.v_threshold[k] - 8.0 * layer, run.v[k], density[k])
            gain[k] += net.b[k] * below
    values, vectors = np.linalg.eig(gain.T)
    leading = int(np.argmax(values.real))
    return float(values[leading].real), int(np.argmax(np.abs(vectors[:, leading])))
