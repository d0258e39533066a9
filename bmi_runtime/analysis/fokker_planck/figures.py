"""Figures of the course: one function each, colour-blind safe, every axis with its unit (time in membrane time
constants).
"""

import dataclasses

import numpy as np

from bmi_runtime.analysis.fokker_planck import blow_up, elapsed, entropy, evolve, learning, particles, spectral, steady
from bmi_runtime.analysis.fokker_planck.initial import Gaussian
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, canvas


def run(v, times, density, rate_times, rate, title: str = "", raster=None):
    """Return the figure of a run: p(v, t), N(t), and beside it the raster of a particle system if there is one."""
    figure, axes = canvas(1, 3 if raster is not None else 2, (10.5 if raster is not None else 7.5, 3.0))
    shown = np.flatnonzero(density.max(axis=0) > 1e-3 * density.max())
    image = axes[0].pcolormesh(times, v[shown], density[:, shown].T, cmap="viridis", shading="nearest", rasterized=True)
    figure.colorbar(image, ax=axes[0], label="density p(v, t)")
    axes[0].set(xlabel="time (membrane time constants)", ylabel="potential v", title=title)
    axes[1].plot(rate_times, rate, color=BLUE, lw=1.2)
    settled = rate[rate_times > 0.02 * rate_times[-1]]
    axes[1].set(xlabel="time (membrane time constants)", ylabel="rate N(t)")
    top = 1.1 * settled.max()
    if settled.max() > 50 * np.median(settled):
        axes[1].set_yscale("log")
    else:
        axes[1].set_ylim(0, top)
    if raster is not None:
        axes[2].plot(raster[0], raster[1], ".", ms=1.5, color="black", rasterized=True)
        axes[2].set(xlabel="time (membrane time constants)", ylabel="neuron", title="particle system")
    return figure


def particle_run(model: Model, initial, duration: float, count: int = 5000, seed: int = 1):
    """Return the figure of a run beside the particle system from the same initial data."""
    solution = evolve.evolve(model, initial, duration)
    return beside_particles(solution, particles.simulate(model, initial, duration, count, seed, bins=40), count)


def beside_particles(solution: evolve.Solution, swarm: particles.Particles, count: int):
    """Return the figure of a run beside a particle system of `count` neurons."""
    title = f"b = {solution.model.b:g}"
    figure = run(
        solution.grid.v, solution.times, solution.density, solution.rate_times, solution.rate, title, swarm.raster
    )
    axis = figure.axes[1]
    axis.step(swarm.times, swarm.rate, where="pre", color=ORANGE, lw=0.8, zorder=0, label=f"{count} neurons")
    lowest = None if axis.get_yscale() == "log" else 0.0  # a rate that grew by decades has no zero on its axis
    axis.set_ylim(lowest, 1.25 * max(swarm.rate.max(), solution.rate[-1]) or 1.0)
    axis.legend()
    return figure


def bifurcation(model: Model, refractory_times=(0.0, 0.025, 0.2)):
    """Return the steady rate against b for several refractory times, stable parts solid, unstable ones dashed."""
    figure, axis = canvas(1, 1, (5.2, 3.6))
    for tau, colour in zip(refractory_times, (BLUE, ORANGE, GREEN, RED, PURPLE)):
        one = dataclasses.replace(model, b=0.0, refractory=tau)
        dead = tau + model.threshold_eps
        rates = np.geomspace(0.06, min(15.0, 0.9 / dead if dead > 0 else 15.0), 36)
        b = steady.branch(one, rates)
        grows = np.array(
            [spectral.spectrum(dataclasses.replace(one, b=float(x)), n, 1)[0].real > 0 for x, n in zip(b, rates)]
        )
        fine = np.geomspace(rates[0], rates[-1], 400)
        curve = steady.branch(one, fine)
        unstable = np.interp(np.log(fine), np.log(rates), grows) > 0.5
        for part, style in ((~unstable, "-"), (unstable, ":")):
            axis.plot(
                np.where(part, curve, np.nan),
                fine,
                style,
                color=colour,
                lw=1.8,
                label=f"tau = {tau:g}" if style == "-" else None,
            )
        for fold, rate in steady.folds(one):
            axis.plot(fold, rate, "o", ms=4, color=colour)
    axis.set(xlabel="connectivity b", ylabel="steady rate N", yscale="log", xlim=(-1, 4.5))
    axis.plot([], [], ":", color=GREY, label="unstable")
    axis.legend()
    return figure


def blow_ups():
    """Return N(t) of two blow-ups and the straight line that N^-2 becomes."""
    figure, axes = canvas(1, 2, (7.5, 3.0))
    cases = [
        (Model(b=3.0), Gaussian(0, 0.25), 5.0, "large b: b = 3", BLUE),
        (Model(b=1.5), Gaussian(1.5, 0.02), 1.0, "concentrated data: b = 1.5", RED),
    ]
    for model, initial, duration, label, colour in cases:
        event = blow_up.locate(model, initial, duration)
        assert event is not None  # these cases blow up: the theorem says so
        grid = evolve.default_grid(model, initial, 400, 1e-5)
        solution = evolve.evolve(model, initial, duration, grid=grid, snapshots=2)
        end, _ = blow_up.extrapolate(solution.rate_times, solution.rate)
        left = end - solution.rate_times
        axes[0].loglog(left[:-1], solution.rate[:-1], color=colour, label=f"{label}, T* = {event.time:.5g}")
        near = left < 1e-4
        axes[1].plot(left[near] * 1e4, solution.rate[near] ** -2.0 * 1e4, color=colour)
    axes[0].loglog([1e-6, 1e-2], [600, 6], "--", color=GREY, lw=1, label="slope -1/2")
    axes[0].set(xlabel="time before the blow-up, T* - t", ylabel="rate N(t)", xlim=(3e-7, 3))
    axes[0].legend(fontsize=7)
    axes[1].set(xlabel="T* - t (1e-4)", ylabel="1 / N^2 (1e-4)")
    return figure


def decay():
    """Return the relative entropy for b = 0 against the spectral gap, with its dissipation."""
    figure, axis = canvas(1, 1, (4.6, 3.2))
    for (mean, variance), colour in zip(((0.0, 0.25), (1.5, 0.05), (-2.0, 0.5)), (BLUE, ORANGE, GREEN)):
        found = entropy.decay(evolve.evolve(Model(), Gaussian(mean, variance), 8.0, cells=800, tolerance=1e-9))
        axis.semilogy(
            found.times,
            np.sqrt(found.entropy),
            color=colour,
            label=f"from mean {mean:g}: rate {found.measured_rate:.4f}",
        )
    start = np.exp(-found.spectral_gap * found.times)
    axis.semilogy(found.times, start, "--", color=GREY, label=f"spectral gap {found.spectral_gap:.4f}")
    axis.set(xlabel="time (membrane time constants)", ylabel="square root of the relative entropy", ylim=(1e-5, 10))
    axis.legend(fontsize=7)
    return figure


def spontaneous(b: float = 3.0, refractory: float = 0.2, eps: float = 0.02):
    """Return the spontaneous periodic activity of a random threshold with a refractory state."""
    model = Model(b=b, refractory=refractory, threshold_eps=eps)
    solution = evolve.evolve(model, Gaussian(1.2, 0.1), 8.0, cells=600, snapshots=600)
    return run(
        solution.grid.v,
        solution.times,
        solution.density,
        solution.rate_times,
        solution.rate,
        f"b = {b:g}, tau = {refractory:g}, eps = {eps:g}",
    )


def learned():
    """Return the learned connectivity, the course of C(w, t) towards it, and the outputs to the learned and to a new
    input.
    """
    figure, axes = canvas(1, 2, (7.5, 3.0))
    model, count = Model(), 120
    w = -2 + 2 * (np.arange(count) + 0.5) / count

    def given(x):
        return 1.0 + 0.5 * np.sin(3 * x)

    def rule(x):
        return -8.0 + 0.0 * x

    exact = learning.learned(model, w, given, rule)
    course = learning.learn(model, w, np.ones(count), given, rule, 120.0, cells=80)
    for k, shade in zip((0, 3, 8, 20), (0.25, 0.5, 0.75, 1.0)):
        axes[0].plot(w, course.connectivity[k], color=BLUE, alpha=shade, label=f"t = {course.times[k]:.0f}")
    axes[0].plot(w, exact.connectivity, "--", color=RED, lw=1.2, label="exact")
    axes[0].set(xlabel="synaptic weight w", ylabel="connectivity C(w, t)")
    axes[0].legend(fontsize=7)
    axes[1].plot(w, learning.output(model, w, exact.connectivity, given(w)), color=BLUE, label="learned input")
    new = given(w) + 0.5 * np.cos(5 * w)
    axes[1].plot(w, learning.output(model, w, exact.connectivity, new), color=ORANGE, label="new input")
    axes[1].set(xlabel="synaptic weight w", ylabel="output N(w)")
    axes[1].legend(fontsize=7)
    return figure


def time_elapsed():
    """Return the time-elapsed model: its steady rates against the coupling, and a delayed run that oscillates."""
    figure, axes = canvas(1, 2, (7.5, 3.0))
    couplings = np.linspace(0.2, 2.0, 181)
    points = np.array([(j, rate) for j in couplings for rate in elapsed.steady_rates(j)])
    axes[0].plot(points[:, 0], points[:, 1], ".", ms=3, color=BLUE)
    axes[0].set(xlabel="coupling J", ylabel="steady rates N")
    start = np.exp(-np.arange(0, 12, 0.01))
    for delay, colour in ((0.5, ORANGE), (0.0, BLUE)):
        found = elapsed.simulate(1.0, start, 0.01, 15.0, delay=delay)
        axes[1].plot(
            found.times, found.rate, color=colour, label=f"delay {delay:g}" if delay else "instantaneous, nearest root"
        )
    axes[1].set(xlabel="time", ylabel="rate N(t), J = 1")
    axes[1].legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure
