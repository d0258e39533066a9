"""More figures of the course: cell polarisation around its critical mass, and the oscillation along its branch."""

import dataclasses

import numpy as np

from bmi_runtime.analysis.fokker_planck import hopf, polarisation, steady
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.drawing import BLUE, GREEN, GREY, RED, canvas

BELOW, ABOVE = 0.5, 1.5


def polarised():
    """Return n(0, t) below and above the critical mass, and the densities: spreading, or piling up at the membrane."""
    figure, axes = canvas(1, 2, (7.5, 3.0))
    colours = {BELOW: BLUE, 1.0: GREEN, ABOVE: RED}
    for mass, colour in colours.items():
        run = polarisation.simulate(lambda z: np.exp(-z), mass, 5.0, tolerance=1e-4)
        calm = "spreads" if mass < 1 else "critical, here a steady state"
        ended = f"blow-up at t = {run.blow_up_time:.3f}" if run.blow_up_time is not None else calm
        axes[0].semilogy(run.times, run.edge, color=colour, label=f"mass {mass:g}: {ended}")
        if run.blow_up_time is not None:
            axes[0].axvline(run.blow_up_time, color=colour, lw=0.8, ls=":")
        near = run.z < 4
        axes[1].semilogy(run.z[near], run.density[near], color=colour, label=f"mass {mass:g}, t = {run.times[-1]:.3f}")
    alpha, t = polarisation.self_similar(BELOW), np.linspace(1.0, 5.0, 50)
    axes[0].semilogy(t, alpha / np.sqrt(1 + 2 * t), "--", color=GREY, label="profile for mass 0.5")
    axes[0].set(xlabel="time", ylabel="density at the membrane, n(0, t)", ylim=(0.1, 1e3))
    axes[1].set(xlabel="distance from the membrane, z", ylabel="density n(z, t)", ylim=(1e-3, 1e3))
    for axis in axes:
        axis.legend(fontsize=7)
    return figure


def oscillating(refractory: float = 0.2, eps: float = 0.02):
    """Return peak and trough of N(t), and its period, along the branch between its two Hopf points."""
    model = Model(refractory=refractory, threshold_eps=eps)
    ends = [*hopf.hopf_points(model, np.array([1.5, 2.0])), *hopf.hopf_points(model, np.array([3.8, 4.1]))]
    rates = np.geomspace(1.0, 4.2, 80)
    branch = steady.branch(model, rates)
    figure, axes = canvas(1, 2, (7.5, 3.0))
    fold = rates[np.argmin(branch)]  # below it lies the saddle between the quiet and the busy state
    stable = ((rates > fold) & (rates < ends[0].rate)) | (rates > ends[1].rate)
    for part, style, label in ((stable, "-", "steady, stable"), (~stable, ":", "steady, unstable")):
        axes[0].plot(np.where(part, branch, np.nan), rates, style, color=GREY, label=label)
    inner = ends[0].b + (ends[1].b - ends[0].b) * np.array([0.001, 0.004, 0.015, 0.04, 0.1, 0.2, 0.35, 0.5, 0.65])
    late = ends[1].b - (ends[1].b - ends[0].b) * np.array([0.2, 0.1, 0.04, 0.01])
    found = [(b, hopf.cycle(dataclasses.replace(model, b=float(b)), 40.0).oscillation) for b in np.r_[inner, late]]
    swings = [(b, swing) for b, swing in found if swing]
    b = [b for b, _ in swings]
    for name, colour in (("peak", RED), ("trough", BLUE)):
        axes[0].plot(b, [swing[name] for _, swing in swings], "o-", ms=3, lw=1, color=colour, label=name)
    axes[1].plot(b, [swing["period"] for _, swing in swings], "o-", ms=3, lw=1, color=GREEN, label="runs")
    for axis, values in ((axes[0], [end.rate for end in ends]), (axes[1], [end.period for end in ends])):
        axis.plot([end.b for end in ends], values, "s", ms=6, mfc="none", color="black", label="Hopf points")
        axis.set(xlabel="connectivity b")
        axis.legend(fontsize=7)
    axes[0].set(xlim=(2.0, 1.2 * ends[1].b))
    axes[0].set(ylabel="rate N", yscale="log", title=f"tau = {refractory:g}, eps = {eps:g}")
    axes[1].set(ylabel="period (membrane time constants)", ylim=(0, None))
    return figure
