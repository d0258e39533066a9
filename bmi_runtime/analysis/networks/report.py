"""What `bmi networks` answers: states, graphs, branches and studies, for JSON, as text and as arrays."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from bmi_runtime.analysis.networks import graphs, study
from bmi_runtime.analysis.networks.continuation import Branch
from bmi_runtime.analysis.networks.fixed_points import Solution, solve
from bmi_runtime.analysis.networks.network import RateNetwork, load_network
from bmi_runtime.analysis.npz import read_npz
from bmi_runtime.errors import BadInput


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
