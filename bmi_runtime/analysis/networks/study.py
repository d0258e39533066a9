"""How unequal connections make unequal rates: many random networks, their steady states, and predictions from
in-degree.

After Tang, Hu & Shea-Brown, "Heterogeneous firing rates modeled in densely connected recurrent neural networks"
(poster).
"""

import dataclasses
from typing import Any

import numpy as np

from bmi_runtime.analysis.networks import graphs
from bmi_runtime.analysis.networks.arclength import grown
from bmi_runtime.analysis.networks.network import RateNetwork
from bmi_runtime.analysis.networks.neuron import LIFNeuron
from bmi_runtime.analysis.networks.solvers import iterate, solve_from
from bmi_runtime.errors import BadInput

COLUMNS = (
    "size", "sonet", "mixed", "seed", "probability", "reciprocal", "convergent", "divergent", "chain",
    "in_degree_mean", "in_degree_sd", "signed_in_degree_sd", "rate_mean_hz", "rate_sd_hz", "input_mean_mv",
    "input_sd_mv", "slope_hz_per_mv", "predicted_input_sd_mv", "predicted_rate_sd_hz", "in_degree_r2",
    "iteration_converged", "solved", "distinct",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class StudyDesign:
    """One study: networks of each size, Erdos-Renyi and SONET, excitatory and mixed, at one strength.

    ``strength_uv_per_hz`` is the weight of one connection; ``inhibition`` how many times stronger an inhibitory one is.
    """

    sizes: tuple[int, ...] = (50, 100)
    networks: int = 100
    probability: float = 0.2
    strength_uv_per_hz: float = 190.0
    external_mv: float = -45.0
    inhibitory_fraction: float = 0.2
    inhibition: float = 4.0
    starts: int = 4
    seed: int = 1
    neuron: LIFNeuron = dataclasses.field(default_factory=LIFNeuron)

    def __post_init__(self):
        if self.networks < 1 or self.starts < 1:
            raise BadInput("a study needs at least one network of each kind and one start")
        if not self.sizes:
            raise BadInput("a study needs at least one network size, for example 50,100")
        if min(self.sizes) < 3:
            raise BadInput(f"a network of {min(self.sizes)} neurons is too small: motifs need at least 3")
        if not self.strength_uv_per_hz:
            raise BadInput("connections of no strength leave nothing to study: every neuron has the same input")


def random_motifs(probability: float, rng: np.random.Generator) -> graphs.MotifStatistics:
    """Return statistics drawn over the range in which SONETs exist: degree variances first, then chains and
    reciprocity.
    """
    while True:
        convergent, divergent = rng.uniform(0, 0.5, 2)
        chain = rng.uniform(-0.9, 0.9) * np.sqrt(convergent * divergent) * 0.8
        wanted = graphs.MotifStatistics(probability, rng.uniform(-0.5, 1.0), convergent, divergent, chain)
        try:
            graphs.gaussian_correlations(wanted)
        except BadInput:
            continue
        return wanted


def study(design: StudyDesign, advance=lambda: None) -> dict[str, np.ndarray]:
    """Return one row per network: a dictionary of :data:`COLUMNS`, each (networks,).

    Heterogeneity is over neurons within one network (standard deviation, n in the denominator). `advance` is called
    after each.
    """
    rows = []
    for size in design.sizes:
        for is_sonet in (False, True):
            for mixed in (False, True):
                for k in range(design.networks):
                    seed = [design.seed, size, is_sonet, mixed, k]
                    rows.append(_one(design, size, is_sonet, mixed, k, np.random.default_rng(seed)))
                    advance()
    return {name: np.array([row[name] for row in rows]) for name in COLUMNS}


def random_network(design: StudyDesign, size: int, is_sonet: bool, mixed: bool, rng) -> tuple[np.ndarray, RateNetwork]:
    """Return one graph and the network on it, at the strength of the design."""
    if is_sonet:
        wanted = random_motifs(design.probability, rng)
    else:
        wanted = graphs.MotifStatistics(design.probability)
    graph = graphs.sonet(size, wanted, rng)
    fraction = design.inhibitory_fraction if mixed else 0.0
    weights = graphs.signed_weights(graph, design.strength_uv_per_hz / 1e3, fraction, design.inhibition)
    return graph, RateNetwork(weights, design.external_mv, design.neuron)


def _one(design: StudyDesign, size: int, is_sonet: bool, mixed: bool, k: int, rng) -> dict:
    graph, network = random_network(design, size, is_sonet, mixed, rng)
    starts = [network.external_mv] + [
        network.external_mv + network.weights @ (rng.random(size) * rng.uniform(0, 400))
        for _ in range(design.starts - 1)
    ]
    iterated = [iterate(network, start, limit=500) for start in starts]
    found = [attempt for attempt in iterated if attempt.converged]
    row = {"size": size, "sonet": is_sonet, "mixed": mixed, "seed": k, "iteration_converged": len(found) / len(starts)}
    if not found:
        found = [attempt for attempt in (solve_from(network, start) for start in starts) if attempt.converged]
    if not found:
        found = [attempt for attempt in (grown(network),) if attempt.converged]
    row |= dataclasses.asdict(graphs.motif_statistics(graph))
    row["distinct"] = len({tuple(np.round(attempt.input_mv, 4)) for attempt in found})
    row["solved"] = bool(found)
    inputs = found[0].input_mv if found else np.full(size, np.nan)
    return row | heterogeneity(graph, network, inputs)


def heterogeneity(graph: np.ndarray, network: RateNetwork, input_mv: np.ndarray) -> dict[str, float]:
    """Return the spread of in-degree, input and rate in one network, and the linear prediction of the latter from the
    former.

    Every source is taken to fire at the mean rate, so ``E_i = E_0 + mean rate * sum_j W_ij`` and the spread of input is
    the mean rate times that of the summed weights; the spread of rate is that times r'(mean E). ``in_degree_r2`` is the
    squared correlation, over neurons, of input with summed weight.
    """
    rates = network.neuron.rate_hz(input_mv)
    degrees = graphs.in_degrees(graph)
    summed = network.weights.sum(axis=1)
    slope = float(network.neuron.rate_and_slope(np.array([input_mv.mean()]))[1][0])
    known = np.isfinite(input_mv).all() and summed.std() > 0 and input_mv.std() > 0
    predicted = float(rates.mean() * summed.std())
    return {
        "in_degree_mean": float(degrees.mean()),
        "in_degree_sd": float(degrees.std()),
        "signed_in_degree_sd": float(summed.std() / abs(network.weights).max()),
        "rate_mean_hz": float(rates.mean()),
        "rate_sd_hz": float(rates.std()),
        "input_mean_mv": float(input_mv.mean()),
        "input_sd_mv": float(input_mv.std()),
        "slope_hz_per_mv": slope,
        "predicted_input_sd_mv": predicted,
        "predicted_rate_sd_hz": slope * predicted,
        "in_degree_r2": float(np.corrcoef(summed, input_mv)[0, 1] ** 2) if known else float("nan"),
    }


@dataclasses.dataclass
class LinearFit:
    """A least-squares line (or plane): coefficients with 95 % half-widths, R^2, and error on networks left out."""

    names: tuple[str, ...]
    coefficients: np.ndarray
    half_widths: np.ndarray
    r2: float
    left_out_error: float
    count: int


def linear_fit(columns: dict[str, np.ndarray], outcome: np.ndarray) -> LinearFit:
    """Fit `outcome` by a constant and `columns`; the left-out error is relative to the mean outcome (root mean square).

    Raises
    ------
    BadInput
        When there are too few rows, or a column is constant (a correlation with a constant is undefined).
    """
    for name, column in columns.items():
        if column.size and np.ptp(column) == 0:
            raise BadInput(f"{name} is the same in every network, so nothing can be related to it")
    table = np.column_stack([np.ones(outcome.size), *columns.values()])
    count, width = table.shape
    if count < width + 2:
        raise BadInput(f"{count} networks are too few to fit {width} coefficients; take at least {width + 2}")
    inverse = np.linalg.pinv(table.T @ table)
    coefficients = inverse @ table.T @ outcome
    residuals = outcome - table @ coefficients
    spread = residuals @ residuals / (count - width)
    leverage = np.einsum("ij,jk,ik->i", table, inverse, table)
    left_out = residuals / np.maximum(1 - leverage, 1e-12)
    from scipy.stats import t as student

    widths = student.ppf(0.975, count - width) * np.sqrt(spread * np.diag(inverse))
    total = float(((outcome - outcome.mean()) ** 2).sum())
    r2 = 1 - float(residuals @ residuals) / total if total > 0 else float("nan")
    error = float(np.sqrt(np.mean(left_out**2)) / abs(outcome.mean())) if outcome.mean() else float("nan")
    return LinearFit(("constant", *columns), coefficients, widths, r2, error, count)


def groups(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the rows (boolean masks) of each kind of network, by name."""
    result = {}
    for size in np.unique(table["size"]):
        for is_sonet in (False, True):
            for mixed in (False, True):
                rows = (table["size"] == size) & (table["sonet"] == is_sonet) & (table["mixed"] == mixed)
                name = f"{'SONET' if is_sonet else 'ER'} {'mixed' if mixed else 'E'} n={size}"
                if rows.any():
                    result[name] = rows
    return result


def summary(table: dict[str, np.ndarray]) -> dict[str, dict]:
    """Return, for each kind of network: convergence, heterogeneity, and how well in-degree and motifs predict it."""
    result = {}
    for name, rows in groups(table).items():
        part = {key: values[rows] for key, values in table.items()}
        good = part["solved"].astype(bool)
        known = part["in_degree_r2"][good & np.isfinite(part["in_degree_r2"])]
        entry: dict[str, Any] = {
            "networks": int(rows.sum()),
            "solved": int(good.sum()),
            "iteration_always_converged": int((part["iteration_converged"] == 1).sum()),
            "iteration_never_converged": int((part["iteration_converged"] == 0).sum()),
            "several_fixed_points": int((part["distinct"] > 1).sum()),
            "in_degree_r2": float(known.mean()) if known.size else None,
        }
        for quantity in ("input_sd_mv", "rate_sd_hz"):
            entry[quantity] = _predictions({key: values[good] for key, values in part.items()}, quantity)
        result[name] = entry
    return result


def _predictions(part: dict[str, np.ndarray], quantity: str) -> dict:
    """Return the mean of `quantity`, and the error of its prediction: linear theory, in-degree line, in-degree and
    motifs.
    """
    outcome = part[quantity]
    if not outcome.any():  # none was solved, or their neurons do not differ
        return {"mean": 0.0 if outcome.size else None}
    theory = part[f"predicted_{quantity}"]
    entry: dict[str, Any] = {
        "mean": float(outcome.mean()),
        "theory_error": float(np.sqrt(np.mean((theory - outcome) ** 2)) / outcome.mean()),
    }
    motifs = {name: part[name] for name in graphs.MOTIFS}
    for label, columns in (("in_degree", {"signed_in_degree_sd": part["signed_in_degree_sd"]}), ("motifs", motifs)):
        try:
            fit = linear_fit(columns, outcome)
        except BadInput as why:
            entry[label] = {"not_fitted": str(why)}
            continue
        entry[label] = {
            "r2": fit.r2,
            "left_out_error": fit.left_out_error,
            "coefficients": dict(zip(fit.names, fit.coefficients.tolist())),
            "half_widths": dict(zip(fit.names, fit.half_widths.tolist())),
        }
    return entry


def describe(summaries: dict[str, dict]) -> str:
    """Return the summary of a study as a table for a person."""
    lines = [
        f"{'':18s}{'solved':>8s}{'always':>8s}{'never':>7s}{'several':>9s}{'R2 in-degree':>14s}{'sd input mV':>13s}"
        f"{'theory err':>12s}{'line err':>10s}{'motif R2':>10s}"
    ]
    for name, entry in summaries.items():
        spread = entry["input_sd_mv"]
        if spread["mean"] is None:
            lines.append(f"{name:18s}{0:8d}")
            continue
        told = (
            (entry["in_degree_r2"], "14.3f"), (spread["mean"], "13.4g"), (spread.get("theory_error"), "12.1%"),
            (spread.get("in_degree", {}).get("left_out_error"), "10.1%"), (spread.get("motifs", {}).get("r2"), "10.2f"),
        )  # fmt: skip
        lines.append(
            f"{name:18s}{entry['solved']:8d}{entry['iteration_always_converged']:8d}{entry['iteration_never_converged']:7d}"
            f"{entry['several_fixed_points']:9d}" + "".join(_or_dash(value, form) for value, form in told)
        )
    lines.append("always/never: iteration converged from every/no start; several: more than one fixed point found;")
    lines.append(
        "errors predict the spread of input over neurons, relative to its mean: theory without any fit, line left out"
    )
    return "\n".join(lines)


def _or_dash(value: float | None, form: str) -> str:
    """Return a number in its column, or a dash where there is none."""
    return f"{'-':>{form.partition('.')[0]}s}" if value is None or not np.isfinite(value) else f"{value:{form}}"
