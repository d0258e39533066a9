"""Pictures of one's own results: learning, polarisation, ages, studies, oscillations, entropy, rate networks."""

import numpy as np

from bmi_runtime.drawing import BLUE, GREEN, GREY, ORANGE, RED, canvas

TIME = "time (membrane time constants)"


def learning(arrays: dict[str, np.ndarray]):
    """Return the connectivity on its way and at its equilibrium, and the outputs."""
    figure, axes = canvas(1, 2, (7.5, 3.0))
    w, times = arrays["w"], arrays["times"]
    for k in np.unique(np.linspace(0, len(times) - 1, 5).astype(int)):
        shade = 0.25 + 0.75 * k / max(len(times) - 1, 1)
        axes[0].plot(w, arrays["connectivity"][k], color=BLUE, alpha=shade, label=f"t = {times[k]:.3g}")
    axes[0].plot(w, arrays["equilibrium"], "--", color=RED, lw=1.2, label="equilibrium")
    axes[0].set(xlabel="synaptic weight w", ylabel="connectivity C(w, t)")
    axes[0].legend(fontsize=7)
    axes[1].plot(w, arrays["rate"], color=BLUE)
    axes[1].set(xlabel="synaptic weight w", ylabel="output N(w) at the end")
    return figure


def polarisation(run):
    """Return the density at the membrane in time, and the density at the end."""
    figure, axes = canvas(1, 2, (7.5, 3.0))
    axes[0].semilogy(run.times, run.edge, color=BLUE, label="n(0, t)")
    axes[0].semilogy(run.times, np.maximum(run.mu, 1e-12), color=ORANGE, label="mu")
    if run.blow_up_time is not None:
        axes[0].axvline(run.blow_up_time, color=RED, ls=":", label=f"blow-up, t = {run.blow_up_time:.4g}")
    axes[0].set(xlabel="time", ylabel="density at the membrane")
    axes[0].set_ylim(0.3 * float(run.edge.min()), 3 * float(np.percentile(run.edge, 99)))
    axes[0].legend(fontsize=7)
    near = run.z < 6
    axes[1].semilogy(run.z[near], np.maximum(run.density[near], 1e-12), color=BLUE)
    axes[1].set(xlabel="distance from the membrane, z", ylabel=f"n(z, t = {run.times[-1]:.4g})")
    return figure


def elapsed(run, steady_rates):
    """Return N(t) with the steady rates, and the ages at the end."""
    figure, axes = canvas(1, 2, (7.5, 3.0))
    axes[0].plot(run.times, run.rate, color=BLUE)
    for rate in steady_rates:
        axes[0].axhline(rate, color=GREY, lw=0.8, ls=":")
    axes[0].set(xlabel="time", ylabel="rate N(t); dotted: steady rates", ylim=(0, None))
    axes[1].plot(run.ages, run.density, color=GREEN)
    axes[1].set(xlabel="time since the last spike", ylabel="density at the end")
    return figure


def study(rows: list[dict]):
    """Return steady rates against b, filled where stable, and peaks and troughs of the runs that oscillate."""
    figure, axis = canvas(1, 1, (5.6, 3.6))
    taus = sorted({row["refractory"] for row in rows})
    for tau, colour in zip(taus, (BLUE, ORANGE, GREEN, RED, GREY) * len(taus), strict=False):
        own = [row for row in rows if row["refractory"] == tau]
        for stable, face in ((True, colour), (False, "none")):
            points = [(row["b"], row["rate"]) for row in own if row["kind"] == "steady" and row["stable"] is stable]
            if points:
                axis.plot(
                    *np.array(points).T, "o", ms=4, mfc=face, color=colour, label=f"tau = {tau:g}" if stable else None
                )
        swings = [(row["b"], row["trough"], row["peak"]) for row in own if row["kind"] == "oscillation"]
        for b, trough, peak in swings:
            axis.plot([b, b], [trough, peak], color=colour, lw=1.5)
        ended = [row["b"] for row in own if row["kind"] == "blow_up"]
        if ended:
            axis.plot(ended, np.full(len(ended), 0.98), "x", color=colour, transform=axis.get_xaxis_transform())
    axis.set(xlabel="connectivity b", ylabel="rate N", yscale="log")
    axis.set_title("open: unstable; bars: swings of runs; crosses: blow-up", fontsize=8)
    axis.legend(fontsize=7)
    return figure


def hopf(rows: list[dict]):
    """Return where oscillations begin and end in b, and their periods, against the refractory time."""
    figure, axes = canvas(1, 2, (7.5, 3.0))
    for axis, name, colour in ((axes[0], "b", BLUE), (axes[1], "period", GREEN)):
        axis.plot([row["refractory"] for row in rows], [row[name] for row in rows], "o", ms=4, color=colour)
        axis.set(xlabel="refractory time tau")
    axes[0].set(ylabel="connectivity b of the Hopf point")
    axes[1].set_ylabel("period (membrane time constants)")
    axes[1].set_ylim(0, 1.1 * max((row["period"] for row in rows), default=1.0))
    return figure


def entropy(found, name: str):
    """Return the relative entropy in time, its slope against its dissipation."""
    figure, axes = canvas(1, 2, (7.5, 3.0))
    axes[0].semilogy(found.times, np.maximum(found.entropy, 1e-300), color=BLUE)
    axes[0].set(
        xlabel=TIME, ylabel="relative entropy", title=f"H = {name}", ylim=(max(found.entropy[-1] / 3, 1e-16), None)
    )
    slope = -np.diff(found.entropy) / np.diff(found.times)
    middle = 0.5 * (found.times[1:] + found.times[:-1])
    axes[1].semilogy(middle, np.maximum(slope, 1e-300), color=RED, lw=2.2, alpha=0.5, label="its decrease")
    axes[1].semilogy(found.times, np.maximum(found.dissipation, 1e-300), color=BLUE, lw=1, label="dissipation")
    axes[1].set(xlabel=TIME, ylim=(max(float(found.dissipation[-1]) / 3, 1e-16), None))
    axes[1].legend(fontsize=7)
    return figure


def two_inputs(w, given, outputs, names):
    """Return inputs I(w) and outputs N(w) of a network, one colour each."""
    figure, axes = canvas(1, 2, (7.5, 3.0))
    for one, answer, name, colour in zip(given, outputs, names, (BLUE, ORANGE), strict=False):
        axes[0].plot(w, one, color=colour, label=name)
        axes[1].plot(w, answer, color=colour, label=name)
    axes[0].set(xlabel="synaptic weight w", ylabel="input I(w)")
    axes[1].set(xlabel="synaptic weight w", ylabel="output N(w)")
    axes[0].legend(fontsize=7)
    return figure


def rate_network(trained, weights_name: str = "weights at the end"):
    """Return the rates of a Wilson-Cowan network in time and its weights at the end."""
    figure, axes = canvas(1, 2, (7.5, 3.0))
    axes[0].plot(trained.times, trained.rates, lw=1)
    axes[0].set(xlabel="time", ylabel="rates N_i(t)")
    limit = float(np.abs(trained.weights).max()) or 1.0
    image = axes[1].imshow(trained.weights, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes[1].set(xlabel="from unit", ylabel="to unit", title=weights_name)
    figure.colorbar(image, ax=axes[1])
    return figure
