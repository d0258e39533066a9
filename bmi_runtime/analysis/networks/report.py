"""What `bmi networks` answers: states, graphs, branches and studies, for JSON, as text and as arrays."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
from scipy import sparse

from bmi_runtime.analysis.networks import graphs, study
from bmi_runtime.analysis.networks.continuation import Branch
from bmi_runtime.analysis.networks.fixed_points import Solution, solve
from bmi_runtime.analysis.networks.network import RateNetwork, load_network
from bmi_runtime.analysis.networks.self_consistent import SelfConsistent
from bmi_runtime.analysis.npz import read_npz
from bmi_runtime.errors import BadInput

ECHO = 0.2  # jump of one spike, of the way from reset to threshold, times the share of input that may answer own spikes


def assumed_text(network: RateNetwork) -> str:
    """Return a sentence on the neuron's parameters that the file lacks, and the values taken in their place."""
    values = ", ".join(f"{key} {value:g}" for key, value in network.assumed.items())
    return f"the file does not give all of the neuron's parameters; assumed: {values}"


def states_and_curve(network: RateNetwork, result: Solution) -> dict[str, Any]:
    """Return the states, (states, neurons) each, and the f-I curve over all that they reach, as plain arrays."""
    points, neuron = result.fixed_points, network.neuron
    inputs = np.array([point.input_mv for point in points]).reshape(len(points), network.size)
    rates = np.array([point.rates_hz for point in points]).reshape(len(points), network.size)
    low = min(neuron.v_reset_mv, *inputs.min(axis=1, initial=np.inf), *network.external_mv)
    high = max(neuron.v_threshold_mv, *inputs.max(axis=1, initial=-np.inf), *network.external_mv)
    margin = 0.05 * (high - low)
    curve = np.linspace(low - margin, high + margin, 501)
    stable = [float("nan") if point.stable_in_time is None else float(point.stable_in_time) for point in points]
    return {
        "curve_input_mv": curve,
        "curve_rate_hz": neuron.rate_hz(curve),
        "state_input_mv": inputs,
        "state_rate_hz": rates,
        "state_stable": np.array(stable),
        "statement": np.array(result.statement),
    }


def states_of(path: pathlib.Path, seed: int) -> dict[str, np.ndarray]:
    """Return the states and the f-I curve that `solve --out` wrote to `path`, or those of the network in it."""
    arrays = read_npz(path)
    if "curve_input_mv" in arrays:
        return arrays
    loaded = load_network(path)
    return states_and_curve(loaded, solve(loaded, seed=seed))


def solved_text(result: Solution) -> str:
    """Return the steady states and the statement on their number as text."""
    words = {True: "stable", False: "unstable", None: "stability unknown"}
    found = f"{len(result.fixed_points)} fixed point(s)"
    lines = [f"{found} from {result.starts} starts ({result.starts_converged} converged)"]
    for point in result.fixed_points:
        in_time = f"{words[point.stable_in_time]} in continuous time (leading eigenvalue {point.leading_real:.4g})"
        lines.append(f"  mean rate {point.rates_hz.mean():.4g} Hz (sd {point.rates_hz.std():.3g} Hz)")
        lines.append(f"    mean input {point.input_mv.mean():.4g} mV, residual {point.residual:.1e} mV")
        lines.append(f"    {words[point.stable]} under iteration (spectral radius {point.spectral_radius:.4g})")
        lines.append(f"    {in_time}")
        lines.append(f"    {point.iterations} products with W ({point.method}); reached from {point.starts} starts")
    constants = ", ".join(f"{name}-norm {value:.4g}" for name, value in result.contraction.items())
    return "\n".join([*lines, f"contraction constants max r' |W|: {constants}", result.statement])


def made(out: pathlib.Path, graph: np.ndarray, wanted: graphs.MotifStatistics) -> dict:
    """Return what is said of a random graph (n, n) drawn with the statistics `wanted`."""
    degrees = graphs.in_degrees(graph)
    return {
        "out": str(out),
        "size": len(graph),
        "wanted": dataclasses.asdict(wanted),
        "measured": dataclasses.asdict(graphs.motif_statistics(graph)),
        "counts": graphs.motif_counts(graph),
        "in_degree_mean": degrees.mean(),
        "in_degree_variance": degrees.var(),
    }


def made_text(result: dict) -> str:
    """Return the answer of :func:`made` as text."""
    lines = [
        f"{result['size']} neurons in {result['out']}; in-degree {result['in_degree_mean']:.4g} on average, "
        f"variance {result['in_degree_variance']:.4g}",
        f"  {'':12s}{'wanted':>10s}{'measured':>10s}{'motifs':>12s}",
    ]
    for name, wanted in result["wanted"].items():
        counted = f"{result['counts'][name]:12,}" if name in result["counts"] else ""
        lines.append(f"  {name:12s}{wanted:10.4g}{result['measured'][name]:10.4f}{counted}")
    return "\n".join(lines)


def branches(found: list[Branch]) -> list[dict]:
    """Return branches of steady states, for JSON."""
    return [
        {
            "strengths": branch.strengths,
            "mean_rate_hz": branch.rates_hz.mean(axis=1),
            "spectral_radius": branch.spectral_radius,
            "leading_real": branch.leading_real,
            "folds": branch.strengths[branch.folds],
            "ended": branch.ended,
        }
        for branch in found
    ]


def branches_text(found: list[Branch], strength_max: float) -> str:
    """Return branches as text: how many points, where they fold, how they end."""
    lines = [f"{len(found)} branch(es) up to {strength_max:g} times the weights"]
    for branch in found:
        folds = ", ".join(f"{value:.5g}" for value in branch.strengths[branch.folds]) or "none"
        lines.append(f"  {len(branch.strengths)} points, folds at {folds}; {branch.ended}")
    return "\n".join(lines)


def sizes(text: str) -> tuple[int, ...]:
    """Return the whole numbers of a comma-separated `text`, or raise BadInput."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise BadInput(f"--sizes must be whole numbers separated by commas, not '{text}'") from None


def write_table(path: pathlib.Path, table: dict[str, np.ndarray]) -> None:
    """Write the table of a study as CSV, a row per network."""
    rows = np.column_stack([table[name].astype(float) for name in study.COLUMNS])
    np.savetxt(path, rows, delimiter=",", header=",".join(study.COLUMNS), comments="", fmt="%.10g")


def answering_share(weights) -> float:
    """Return the share of the excitatory input, by weight, that comes from neurons which the receiver excites itself.

    Their spikes may answer its own. Near the share of connections in a random graph, 1 where neurons excite each other
    in pairs; 0 without excitation.
    """
    if sparse.issparse(weights):
        exciting = weights.maximum(0.0)
        mutual = exciting.multiply((exciting > 0).T)
    else:
        exciting = np.maximum(weights, 0.0)
        mutual = exciting * (exciting.T > 0)
    total = float(exciting.sum())
    return float(mutual.sum()) / total if total > 0 else 0.0


def echo_note(largest_jump: float, share: float) -> str:
    """Return what the theory leaves out of a network like this one, or nothing where that is little.

    Two neurons that excite each other (share 1) fire 2 % less than predicted with jumps of 0.17, 8 % with 0.33, half as
    much with 0.67 (docs/networks.md).
    """
    if largest_jump * share < ECHO:
        return ""
    return (
        f"these rates are too high by an unknown amount: {100 * share:.0f} % of the excitatory input comes from "
        f"neurons that the receiver itself excites, and a spike that answers its own finds it behind its reset, which "
        f"is left out; one spike lifts the voltage by up to {largest_jump:.2g} of the way from reset to threshold "
        "(with 100 % and 0.17, 0.33, 0.67 the rates are 2 %, 8 % and 100 % too high); --compare-s simulates it"
    )


def own_noise(
    found: SelfConsistent, theory_hz: np.ndarray, simulated: Simulated | None, share: float = 0.0
) -> dict:  # fmt: skip
    """Return a state with the network's own noise, for JSON.

    `theory_hz` (n,) are the rates without it, `share` is :func:`answering_share`.
    """
    result = {
        "mean_rate_hz": found.rates_hz.mean(),
        "rate_theory_mean_hz": theory_hz.mean(),
        "poisson_mean_hz": found.shot_rates_hz.mean(),
        "mean_covariance_hz": found.mean_covariance_hz,
        "mean_fano": found.mean_fano,
        "mean_cv": float(np.sqrt(found.cv2).mean()),
        "covariance_by_motif_hz": found.orders_hz,
        "corrected": found.corrected,
        "largest_jump": found.largest_jump,
        "answering_share": share,
        "note": echo_note(found.largest_jump, share),
        "residual_hz": found.residual_hz,
        "rates_hz": found.rates_hz,
    }
    return result if simulated is None else result | {"simulated": simulated.against(found)}


def own_noise_arrays(found: SelfConsistent) -> dict[str, Any]:
    """Return a state as arrays for a file; the covariance (n, n) only where it is known."""
    arrays = {"rates_hz": found.rates_hz, "cv2": found.cv2}
    return arrays if found.covariance_hz is None else arrays | {"covariance_hz": found.covariance_hz}


def own_noise_text(result: dict) -> str:
    """Return the answer of :func:`own_noise` as text."""
    lines = [
        f"mean rate {result['mean_rate_hz']:.4g} Hz with the network's own noise (rate theory without it: "
        f"{result['rate_theory_mean_hz']:.4g} Hz)",
        f"counts in long windows: Fano factor {result['mean_fano']:.3g}, mean covariance over pairs "
        f"{result['mean_covariance_hz']:.3g} per s",
    ]
    if result["covariance_by_motif_hz"]:
        parts = ", ".join(
            f"{name.replace('_', ' ')} {value:.3g}" for name, value in result["covariance_by_motif_hz"].items()
        )
        lines.append(f"  by motif: {parts}")
    if not result["corrected"]:
        lines.append("the input's spectrum is so far from Poisson's that only its jumps are accounted for")
    if result["note"]:
        lines.append(f"note: {result['note']}")
    if "simulated" in result:
        known = result["simulated"]
        lines.append(
            f"simulated: {known['mean_rate_hz']:.4g} +- {known['mean_error_hz']:.2g} Hz (theory "
            f"{known['rate_percent']:+.1f} %, without own noise {known['rate_theory_percent']:+.1f} %); "
            f"mean covariance {known['mean_covariance_hz']:.3g} +- {known['covariance_error_hz']:.1g} per s"
        )
        if known["covariance_slope"] is not None:
            lines.append(f"  covariances over pairs, simulated against theory: slope {known['covariance_slope']:.3g}")
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Simulated:
    """Counts of a simulation, (bins, n), and the rates of the rate theory, (n,), to hold a state against."""

    counts: np.ndarray
    bin_s: float
    theory_hz: np.ndarray

    def against(self, found: SelfConsistent) -> dict:
        """Return simulated rates and covariances beside those of `found`; errors are over ten parts of the time."""
        rate = self.counts.mean() / self.bin_s
        n = self.counts.shape[1]
        means, covariances = [], []
        for part in np.array_split(self.counts, 10):
            means.append(part.mean() / self.bin_s)
            total, single = part.sum(axis=1).var(ddof=1), part.var(axis=0, ddof=1).sum()
            covariances.append((total - single) / (n * (n - 1)) / self.bin_s)
        slope = None
        if found.covariance_hz is not None and n > 1:
            pairs = ~np.eye(n, dtype=bool)
            seen = np.cov(self.counts.T) / self.bin_s
            slope = float(np.polyfit(found.covariance_hz[pairs], seen[pairs], 1)[0])
        return {
            "mean_rate_hz": rate,
            "mean_error_hz": float(np.std(means, ddof=1) / np.sqrt(10)),
            "rate_percent": 100 * (found.rates_hz.mean() / rate - 1),
            "rate_theory_percent": 100 * (self.theory_hz.mean() / rate - 1),
            "mean_covariance_hz": float(np.mean(covariances)),
            "covariance_error_hz": float(np.std(covariances, ddof=1) / np.sqrt(10)),
            "covariance_slope": slope,
        }
