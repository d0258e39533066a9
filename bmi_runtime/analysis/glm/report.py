"""Reports of ``bmi glm``: a fit and its tests as JSON and as text, and the pictures that need the data."""

import io
import resource

import numpy as np

from bmi_runtime.analysis.glm import plots
from bmi_runtime.analysis.glm.dispersion import FEWEST_WINDOWS, dispersion, fano_factors
from bmi_runtime.analysis.glm.family_model import FamilyGLM
from bmi_runtime.analysis.glm.goodness import rescale_all
from bmi_runtime.analysis.glm.selection import predictive_power


def peak_memory_mb() -> float:
    """Return the largest resident size of this process so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fit_result(model) -> dict:
    """Return the JSON of a fit; per-unit values are lists in the order of the units."""
    return {
        "log_likelihood": model.log_likelihood_ - model.log_factorial_,
        "log_likelihood_without_ln_factorial": model.log_likelihood_,
        "deviance_explained": model.deviance_explained_,
        "bits_per_spike": model.bits_per_spike_,
        "gradient_max": float(model.gradient_max_.max(initial=0.0)),
        "gradient_max_per_unit": model.gradient_max_,
        "gap_nats": model.gap_nats_,
        "iterations": int(model.iterations_.max(initial=0)),
        "converged": model.converged_,
        "interrupted": model.interrupted_,
        "separated": model.separated_,
        "notes": model.notes_,
        "bins": model.design_.rows,
        "parameters_per_unit": model.design_.parameters,
        "standard_errors_method": model.standard_errors_method_,
        "family": model.family if isinstance(model, FamilyGLM) else "poisson",
        "shape": model.shape_ if isinstance(model, FamilyGLM) else None,
        "seconds": model.seconds_,
        "peak_memory_mb": peak_memory_mb(),
    }


def fit_text(model, result, out) -> str:
    """Return a table for a person."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{len(model.intercept_)} units, {model.design_.parameters} coefficients each")
    for heading in ("unit", "spikes", "ln L (with ln y!)", "deviance explained", "bits/spike", "separated"):
        table.add_column(heading, justify="left" if heading == "unit" else "right")
    apart = [sum(entry["target"] == unit for entry in model.separated_) for unit in range(len(model.intercept_))]
    for unit, name in enumerate(model.unit_names_):
        values = (result["log_likelihood"][unit], model.deviance_explained_[unit], model.bits_per_spike_[unit])
        shown = (f"{values[0]:.2f}", f"{values[1]:.4f}", f"{values[2]:.4f}")
        table.add_row(name, f"{model.spikes_[unit]:.0f}", *shown, str(apart[unit] or ""))
    stream = io.StringIO()
    Console(file=stream, width=110, markup=False).print(table)
    lines = [stream.getvalue().rstrip()]
    lines += [f"separated: {entry['meaning']}" for entry in model.separated_[:20]]
    if len(model.separated_) > 20:
        lines.append(f"... and {len(model.separated_) - 20} more separated couplings (all in --json)")
    lines.append(
        f"largest gradient {result['gradient_max']:.1e} after {result['iterations']} iterations, "
        f"{result['seconds']:.2f} s, {result['peak_memory_mb']:.0f} MB; "
        f"standard errors: {model.standard_errors_method_}"
    )
    if np.isfinite(result["gap_nats"]).any():
        lines.append(
            f"log-likelihoods (penalised) are within {np.nanmax(result['gap_nats']):.1e} nats of the best: proved"
        )
    if result["shape"] is not None and model.family != "bernoulli":
        what = "excess a of the variance mu + a mu^2" if model.family == "negative-binomial" else "residual variance"
        lines.append(f"{model.family}: {what}, median {np.median(result['shape']):.4g}")
    lines.append("couplings are effective connectivity: they may be indirect or due to unrecorded common input")
    if out:
        lines.append(f"written to {out}")
    return "\n".join(lines)


def goodness_of_fit(model, held, bin_s: float | None = None) -> dict:
    """Return what the held-out data say of the fit."""
    rate = model.predict(*held)
    first = model.history_bins + max(0, *(abs(lead) for lead in (0, *model.leads_)))
    power = [predictive_power(held[0][first:-first, unit], rate[first:-first, unit]) for unit in range(rate.shape[1])]
    ks = rescale_all(model, *held)
    return {
        "bits_per_spike_held_out": model.bits_per_spike(*held),
        "ks_statistic": [each.statistic for each in ks],
        "ks_bound": [each.bound for each in ks],
        "ks_p": [each.p_value for each in ks],
        "ks_pass_fraction": sum(each.passes for each in ks) / len(ks),
        "predictive_power": [each.power for each in power],
        "predictive_power_chance_95": [each.chance_95 for each in power],
        **variability(held[0], rate, bin_s),
    }


WINDOWS_S = (0.1, 1.0)


def variability(counts, rate, bin_s: float | None) -> dict:
    """Return Fano factors over windows, and the dispersion against the predicted means `rate` with its test."""
    against = dispersion(counts, rate)
    width = bin_s or 0.0
    windows = [window for window in WINDOWS_S if width and len(counts) * width >= FEWEST_WINDOWS * max(window, width)]
    fano = [fano_factors(counts, width, window) for window in windows]
    return {
        "fano_windows_s": [each.window_s for each in fano],
        "fano_factor": [each.factor for each in fano],
        "fano_poisson_95": [[each.low, each.high] for each in fano],
        "dispersion": against.ratio,
        "dispersion_excess": against.excess,
        "dispersion_z": against.z,
        "dispersion_p": against.p_value,
    }


def significant_pairs(model, wald, level: float) -> list[dict]:
    """Return the significant ordered pairs, most significant first."""
    found = np.argwhere(np.nan_to_num(wald.q_values, nan=1.0) <= level)
    total = np.where(np.isneginf(model.coupling_), 0.0, model.coupling_).sum(axis=2)
    entries = [
        {
            "target": int(target),
            "source": int(source),
            "summed_filter": total[target, source],
            "p": wald.p_values[target, source],
            "q": wald.q_values[target, source],
        }
        for target, source in found
    ]
    return sorted(entries, key=lambda entry: entry["p"])


def tests_text(result) -> str:
    """Return the tests for a person."""
    lines = ["likelihood-ratio tests (units with p < 0.05):"]
    for name, p_values in zip(result["steps"], result["likelihood_ratio_p"]):
        lines.append(f"  {name:<16}{int(np.sum(p_values < 0.05)):>4} of {len(p_values)}")
    lines.append(f"significant ordered pairs (false-discovery rate controlled): {len(result['pairs'])}")
    for block in result["blocks"]:
        strength = "" if block["mean_absolute_sum"] is None else f", mean |sum| {block['mean_absolute_sum']:.3f}"
        lines.append(f"  {block['block']:<12}{block['significant']:>4} of {block['pairs']} pairs{strength}")
    lines.append(f"time rescaling, held out: {result['ks_pass_fraction']:.0%} of units inside their 95 % band")
    bits, power = np.nanmean(result["bits_per_spike_held_out"]), np.nanmean(result["predictive_power"])
    chance = np.nanmean(result["predictive_power_chance_95"])
    lines.append(f"held-out bits per spike {bits:.3f}; predictive power {power:.3f} (chance below {chance:.3f})")
    for window, factor, (low, high) in zip(
        result["fano_windows_s"], result["fano_factor"], result["fano_poisson_95"], strict=True
    ):
        known = factor[np.isfinite(factor)]
        if known.size:
            lines.append(
                f"Fano factor in {window:g} s: median {np.median(known):.3f}; {int((known > high).sum())} of "
                f"{known.size} units above and {int((known < low).sum())} below what a constant Poisson rate gives"
            )
    z, p = result["dispersion_z"], result["dispersion_p"]
    lines.append(
        f"dispersion against the model: median {np.nanmedian(result['dispersion']):.3f}; "
        f"{int(np.sum((z > 0) & (p < 0.05)))} units more and {int(np.sum((z < 0) & (p < 0.05)))} less variable "
        "(p < 0.05)"
    )
    lines.append(f"branching ratio {result['branching_ratio']:.2f} (rates can run away near 1)")
    lines.append(result["meaning"])
    return "\n".join(lines)


def data_figures(model, loaded, table, wanted) -> dict:
    """Return the pictures that need the data: time rescaling, and tuning where there is a velocity."""
    drawn = {}
    table = table if model.standardisation_ else None
    if "ks" in wanted:
        drawn["ks"] = plots.plot_ks(rescale_all(model, loaded.counts, table))
    velocity = loaded.tables.get("velocity")
    if "tuning" in wanted and velocity is not None:
        parts = (np.asarray(loaded.counts), np.asarray(velocity), model.predict(loaded.counts, table))
        drawn["tuning"] = plots.plot_tuning(*parts, loaded.bin_s, model.unit_names_)
    return drawn
