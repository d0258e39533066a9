"""Pictures of blow-ups continued, and of the models that do not blow up."""

import numpy as np

from bmi_runtime.analysis.fokker_planck import continued, particles, polarisation, without_noise
from bmi_runtime.analysis.fokker_planck.initial import Gaussian
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.drawing import BLUE, GREY, ORANGE, RED, canvas


def through(model: Model, run: continued.Continued, neurons=None):
    """Return rate and avalanches of a run, densities about the first avalanche, and sizes of the avalanches of neurons
    if there are any.
    """
    figure, axes = canvas(1, 3 if neurons is not None else 2, (10.5 if neurons is not None else 7.5, 3.0))
    axes[0].semilogy(run.rate_times, np.maximum(run.rate, 1e-6), color=BLUE, lw=1.2)
    upper = 10 * float(np.percentile(run.rate, 90))
    axes[0].set(ylim=(max(float(np.percentile(run.rate, 2)), 1e-4) / 3, upper))
    for when, share in zip(run.times, run.fractions, strict=True):
        axes[0].axvline(when, color=RED, lw=0.9, alpha=float(0.25 + 0.75 * min(share, 1.0)))
    axes[0].set(
        xlabel="time (membrane time constants)",
        ylabel="rate N(t)",
        title=f"{len(run.times)} avalanches (upright lines)",
    )
    if len(run.times):
        for density, colour, name in ((run.before[0], BLUE, "just before"), (run.after[0], RED, "just after")):
            axes[1].plot(run.v, density, color=colour, label=name)
        peak = float(run.before[0].max())
        axes[1].axvline(model.v_reset, color=GREY, ls=":", lw=0.8)
        low = float(run.v[np.flatnonzero(run.before[0] > 1e-3 * peak)[0]])
        axes[1].set(
            xlim=(low, model.v_threshold),
            ylim=(0, 1.3 * peak),
            title=f"the first: a fraction {run.fractions[0]:.4g} fires",
        )
        axes[1].legend()
    axes[1].set(xlabel="potential v", ylabel="density")
    if neurons is not None:
        found = continued.sizes(*neurons)
        edges = np.r_[3e-5, found["size_edges"][1:]]
        axes[2].stairs(found["size_counts"], edges, color=ORANGE, fill=True)
        for k, share in enumerate(run.fractions):
            axes[2].axvline(share, color=RED, lw=0.8, label="avalanches of the density" if k == 0 else None)
        if len(run.fractions):
            axes[2].legend(fontsize=7, loc="upper right", bbox_to_anchor=(0.9, 1.0))
        counted = "log" if np.any(found["size_counts"] > 0) else "linear"  # no neuron may have fired
        axes[2].set(xscale="log", yscale=counted, xlabel="fraction firing in a step", ylabel="steps", title="neurons")
    return figure


def avalanches():
    """Return the run of b = 3 with a refractory state through its blow-ups, beside 10,000 neurons."""
    model, initial = Model(b=3.0, refractory=0.1), Gaussian(0.0, 0.25)
    return through(model, continued.through(model, initial, 5.0), particles.avalanches(model, initial, 5.0, 10000, 1))


def calm():
    """Return three neighbours that do not blow up: no noise, slow conductances, a membrane that binds and releases."""
    figure, axes = canvas(1, 3, (10.5, 3.0))
    noisy = continued.through(Model(b=3.0), Gaussian(0.0, 0.25), 2.2)
    axes[0].plot(noisy.rate_times, noisy.rate, color=RED, label="noise: blow-up")
    still = without_noise.deterministic(Model(b=3.0), Gaussian(0.0, 0.25), 2.2)
    axes[0].plot(still.times, still.rate, color=BLUE, label=f"no noise: N = {still.rate.max():g}")
    axes[0].set_yscale("symlog", linthresh=1e-2)  # zero has its place on it
    axes[0].set(xlabel="time", ylabel="rate N(t)", title="deterministic, b = 3", ylim=(-2e-3, 1e4))
    axes[0].legend(fontsize=7)
    for coupling, colour in ((0.0, GREY), (0.2, BLUE), (0.35, RED)):
        run = without_noise.kinetic(coupling, 2.0, cells=50)
        ended = "" if run.times[-1] > 1.99 else ", to the end of the range"
        axes[1].semilogy(run.times, run.rate, color=colour, label=f"S = {coupling:g}{ended}")
    axes[1].set(xlabel="time", ylabel="rate N(t)", title="kinetic: exponential at most")
    axes[1].legend(fontsize=7)
    for exchange, colour in ((0.0, RED), (1.0, BLUE)):
        found = polarisation.simulate(lambda z: np.exp(-z), 1.5, 3.0, exchange=exchange, tolerance=1e-4)
        name = f"binds and releases at {exchange:g}" if exchange else "mu = n(0): blow-up"
        axes[2].semilogy(found.times, found.edge, color=colour, label=name)
    axes[2].set(xlabel="time", ylabel="n(0, t)", title="polarisation, mass 1.5", ylim=(0.1, 1e3))
    axes[2].legend(fontsize=7)
    return figure
