"""Pictures of coupled populations: rates in time beside neurons, Hopf points, and error against processor time."""

import time

import numpy as np

from bmi_runtime.analysis.fokker_planck import coupled_galerkin, coupled_run
from bmi_runtime.analysis.fokker_planck.initial import Gaussian
from bmi_runtime.analysis.fokker_planck.populations import Populations, make
from bmi_runtime.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, canvas

COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, GREY)


def rates(net: Populations, solution: coupled_run.CoupledRun, neurons=None):
    """Return the rates of a run, lines, and those of neurons, steps."""
    figure, axis = canvas(1, 1, (6.0, 3.4))
    for k, name in enumerate(net.names):
        colour = COLOURS[k]
        axis.plot(solution.rate_times, solution.rates[:, k], color=colour, lw=1.6, label=name)
        if neurons is not None:
            axis.step(neurons[0], neurons[1][:, k], where="pre", color=colour, lw=0.7, alpha=0.6)
    late = solution.rates[solution.rate_times > 0.02 * solution.rate_times[-1]]
    if solution.ended != "finished":
        axis.set_yscale("log")
    elif late.max() > 0:
        axis.set_ylim(0, 1.2 * float(late.max()))
    title = "lines: densities" + ("; steps: neurons" if neurons is not None else "")
    axis.set(xlabel="time (membrane time constants)", ylabel="rate N(t)", title=title)
    axis.legend()
    return figure


def hopf(net: Populations, rows: list[dict], name: str, other: str | None):
    """Return the Hopf points: the parameter and the period against the second parameter, or the rates."""
    figure, axes = canvas(1, 2, (7.5, 3.2))
    if other:
        across = [row[other] for row in rows]
        axes[0].plot(across, [row[name] for row in rows], "o", ms=4, color=BLUE)
        axes[0].set(xlabel=other, ylabel=name, title="Hopf points")
    else:
        across = [row[name] for row in rows]
        for k, who in enumerate(net.names):
            axes[0].plot(across, [row["rates"][k] for row in rows], "o", ms=4, color=COLOURS[k], label=who)
        axes[0].set(xlabel=name, ylabel="rate N", title="Hopf points")
        axes[0].legend()
    axes[1].plot(across, [row["period"] for row in rows], "o", ms=4, color=GREEN)
    axes[1].set(xlabel=other or name, ylabel="period (membrane time constants)")
    axes[1].set_ylim(0, 1.1 * max((row["period"] for row in rows), default=1.0))
    return figure


def work_precision() -> list[dict]:
    """Return error and processor time of both schemes on one excitatory-inhibitory problem, N(2) each, the error
    against the finest Galerkin run.
    """
    net = make([[0.8, -0.75], [0.5, -0.25]], a=[[0.05, 0.02], [0.0, 0.1]], refractory=[0.1, 0.0])
    initial = [Gaussian(0.0, 0.25), Gaussian(-1.0, 0.25)]
    times = np.array([0.0, 2.0])
    exact = coupled_galerkin.run(net, initial, times, 1e-11, order=14)[-1]
    coupled_run.evolve(net, initial, 0.01, cells=40, snapshots=2)  # compiled before it is timed
    rows = []
    for cells in (50, 100, 200, 400, 800, 1600):
        done = coupled_run.evolve(net, initial, 2.0, cells=cells, tolerance=min(1e-5, 0.1 / cells**2), snapshots=2)
        error = float(np.abs(done.rates[-1] - exact).max())
        rows.append({"scheme": "finite volumes", "size": cells, "error": error, "cpu_s": done.seconds})
    for order, tolerance in ((3, 1e-4), (4, 1e-5), (6, 1e-7), (8, 1e-9), (10, 1e-10)):
        began = time.process_time()
        found = coupled_galerkin.run(net, initial, times, tolerance, order=order)[-1]
        spent, error = time.process_time() - began, float(np.abs(found - exact).max())
        rows.append({"scheme": "hp-elements", "size": order, "error": error, "cpu_s": spent})
    return rows


def error_against_cpu():
    """Return the picture of :func:`work_precision`."""
    rows = work_precision()
    figure, axis = canvas(1, 1, (5.2, 3.6))
    for scheme, colour in (("finite volumes", BLUE), ("hp-elements", RED)):
        mine = [row for row in rows if row["scheme"] == scheme]
        axis.loglog([row["cpu_s"] for row in mine], [row["error"] for row in mine], "o-", color=colour, label=scheme)
        for row in mine:
            axis.annotate(f" {row['size']}", (row["cpu_s"], row["error"]), fontsize=7)
    axis.set(xlabel="processor time (s)", ylabel="error of the rates at t = 2", title="two schemes of our own")
    axis.legend()
    return figure
