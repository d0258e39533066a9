"""Random networks: Erdos-Renyi and second-order (SONET) graphs, their motif statistics, and weights on them.

A graph is an (n, n) boolean array; ``graph[i, j]`` says that neuron j connects to neuron i (row = target); no
neuron connects to itself.
"""

import dataclasses

import numpy as np
from scipy import sparse, special
from scipy.optimize import brentq

from bmi_runtime.errors import BadInput

MOTIFS = ("reciprocal", "convergent", "divergent", "chain")
_X, _W = np.polynomial.legendre.leggauss(40)
DENSE_SIZE = 10_000  # neurons up to which every pair is looked at
MOST_CONNECTIONS = 4e8  # about 5 GB
_ROWS = 256


@dataclasses.dataclass(frozen=True)
class MotifStatistics:
    """How much more often than in an Erdos-Renyi graph two connections occur together.

    With connection probability p, the probability of a pair is ``p^2 (1 + alpha)``: `reciprocal` (i to j and j to
    i), `convergent` (both into one neuron), `divergent` (both out of one neuron), `chain` (into a neuron and out of
    it). (Zhao et al. 2011.)
    """

    probability: float
    reciprocal: float = 0.0
    convergent: float = 0.0
    divergent: float = 0.0
    chain: float = 0.0


def _checked_size(n: int) -> None:
    if n < 3:
        raise BadInput(f"a network of {n} neurons is too small: motifs need at least 3")


def random_graph(n: int, wanted: MotifStatistics, rng: np.random.Generator) -> np.ndarray | sparse.csr_array:
    """Return a graph with the wanted statistics: :func:`sonet`, or sparse where it is large and its connections are
    independent.

    Raises
    ------
    BadInput
        When it has more connections, or more pairs to decide on, than this takes on.
    """
    _checked_size(n)
    expected = wanted.probability * n * (n - 1)
    if expected > MOST_CONNECTIONS:
        raise BadInput(
            f"{n} neurons connected with probability {wanted.probability:g} have about {expected:.2g} connections; at "
            f"most {MOST_CONNECTIONS:.2g} are kept in memory: choose fewer neurons or a smaller probability"
        )
    if n <= DENSE_SIZE:
        return sonet(n, wanted, rng)
    if wanted == MotifStatistics(wanted.probability):
        return independent_connections(n, wanted.probability, rng)
    raise BadInput(
        f"motif statistics are decided pair by pair, for up to {DENSE_SIZE} neurons, not {n}: leave them out, or "
        "choose fewer neurons"
    )


def independent_connections(n: int, probability: float, rng: np.random.Generator) -> sparse.csr_array:
    """Return an Erdos-Renyi graph as CSR of ones, drawn connection by connection: the gaps between present ones among
    all n (n - 1) ordered pairs are geometric.

    Raises
    ------
    BadInput
        When the probability is not between 0 and 1.
    """
    _checked_size(n)
    if not 0 < probability < 1:
        raise BadInput(f"the connection probability is {probability}: it must be above 0 and below 1")
    pairs, parts, last = n * (n - 1), [], -1
    while last < pairs:
        left = probability * (pairs - last)
        gaps = rng.geometric(probability, int(left + 5 * np.sqrt(left) + 10))
        parts.append(last + np.cumsum(gaps))
        last = int(parts[-1][-1])
    places = np.concatenate(parts)
    places = places[places < pairs]
    targets, sources = np.divmod(places, n - 1)
    sources += sources >= targets
    indptr = np.searchsorted(targets, np.arange(n + 1))
    return sparse.csr_array((np.ones(len(places)), sources.astype(np.int32), indptr), shape=(n, n))


def erdos_renyi(n: int, probability: float, rng: np.random.Generator) -> np.ndarray:
    """Return a graph (n, n) whose connections are independent, each present with `probability`."""
    return sonet(n, MotifStatistics(probability), rng)


def sparse_erdos_renyi(n: int, in_degree: int, rng: np.random.Generator) -> sparse.csr_array:
    """Return a graph in which every neuron receives exactly `in_degree` connections from distinct others, as CSR of
    ones.

    Raises
    ------
    BadInput
        When the in-degree is not between 1 and n - 1.
    """
    _checked_size(n)
    if not 1 <= in_degree <= n - 1:
        raise BadInput(f"in_degree is {in_degree}: choose 1 to {n - 1}")
    sources = np.empty((n, in_degree), dtype=np.int32)
    for i in range(n):
        chosen = rng.choice(n - 1, in_degree, replace=False, shuffle=False)
        sources[i] = np.sort(chosen + (chosen >= i))
    indptr = np.arange(n + 1, dtype=np.int64) * in_degree
    return sparse.csr_array((np.ones(n * in_degree), sources.ravel(), indptr), shape=(n, n))


def sonet(n: int, wanted: MotifStatistics, rng: np.random.Generator) -> np.ndarray:
    """Return a second-order network: a graph (n, n) with the wanted connection and motif probabilities, on average.

    Each connection is present when a Gaussian variable passes a threshold; the Gaussians of connections that share
    neurons are correlated (Zhao et al. 2011). They are drawn here as ``u_i + v_j + e_ij``: one variable per target,
    one per source (correlated with the first: chains), and one per connection (correlated with its reverse), which
    needs no n^2-dimensional covariance.

    Raises
    ------
    BadInput
        When no network, or none of this kind, can have the wanted statistics.
    """
    _checked_size(n)
    spread = gaussian_correlations(wanted)
    target, source = _node_variables(n, spread, rng)
    rest = max(0.0, 1 - spread["convergent"] - spread["divergent"])
    pair = spread["reciprocal"] - 2 * spread["chain"]
    together = np.clip(pair / rest, -1, 1) if rest > 0 else 0.0
    near = np.sqrt(rest * (1 + np.sqrt(1 - together**2)) / 2)
    across = np.sign(together) * np.sqrt(rest * (1 - np.sqrt(1 - together**2)) / 2)
    threshold = -special.ndtri(wanted.probability)
    graph = np.zeros((n, n), dtype=bool)
    for start in range(0, n, _ROWS):
        rows = slice(start, min(start + _ROWS, n))
        first, second = rng.standard_normal((2, rows.stop - start, n - start))
        to_rows = target[rows, None] + source[None, start:] + near * first + across * second
        from_rows = source[rows, None] + target[None, start:] + near * second + across * first
        above = np.arange(start, n)[None, :] > np.arange(start, rows.stop)[:, None]
        graph[rows, start:] |= (to_rows > threshold) & above
        graph[start:, rows] |= ((from_rows > threshold) & above).T
    return graph


def _node_variables(n: int, spread: dict[str, float], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    first, second = rng.standard_normal((2, n))
    in_sd, out_sd = np.sqrt(spread["convergent"]), np.sqrt(spread["divergent"])
    shared = np.clip(spread["chain"] / (in_sd * out_sd), -1, 1) if in_sd * out_sd > 0 else 0.0
    return in_sd * first, out_sd * (shared * first + np.sqrt(1 - shared**2) * second)


def joint_probability(probability: float, correlation: float) -> float:
    """Return the probability that two Gaussians with `correlation` both pass a threshold that each passes with
    `probability`.
    """
    threshold = -special.ndtri(probability)
    top = np.arcsin(np.clip(correlation, -1, 1))
    angles = 0.5 * top * (1 + _X)
    with np.errstate(divide="ignore"):
        density = np.exp(-(threshold**2) / (1 + np.sin(angles)))
    return float(probability**2 + 0.5 * top * (_W @ density) / (2 * np.pi))


def gaussian_correlations(wanted: MotifStatistics) -> dict[str, float]:
    """Return the correlation of the two Gaussians behind each motif, or raise BadInput when the statistics are
    impossible.
    """
    p = wanted.probability
    if not (np.isfinite(p) and 0 < p < 1):
        raise BadInput(f"the connection probability is {p}: it must be above 0 and below 1")
    found = {}
    for name in MOTIFS:
        alpha = getattr(wanted, name)
        lowest = max(-1.0, (2 * p - 1) / p**2 - 1)
        if not np.isfinite(alpha) or not lowest <= alpha <= 1 / p - 1:
            raise BadInput(
                f"no network has {name} statistic {alpha:g} at connection probability {p:g}: two connections occur "
                f"together with probability p^2 (1 + alpha), so alpha lies between {lowest:.4g} and {1 / p - 1:.4g}"
            )
        found[name] = _correlation_for(p, p**2 * (1 + alpha))
    _check_together(found)
    return found


def _correlation_for(p: float, joint: float) -> float:
    ends = (joint_probability(p, -1.0) - joint, joint_probability(p, 1.0) - joint)
    if ends[0] >= -1e-14:
        return -1.0
    if ends[1] <= 1e-14:
        return 1.0
    return float(brentq(lambda rho: joint_probability(p, rho) - joint, -1, 1, xtol=1e-14))


def _check_together(found: dict[str, float]) -> None:
    """Refuse statistics that are possible one by one but not together, in a large network."""
    for name, end in (("convergent", "in-degree"), ("divergent", "out-degree")):
        if found[name] < -1e-12:
            raise BadInput(
                f"a large network cannot have a negative {name} statistic: it is the {end}'s variance beyond chance"
            )
        found[name] = max(found[name], 0.0)
    if found["convergent"] + found["divergent"] > 1 + 1e-12:
        raise BadInput("the convergent and divergent statistics are too large to occur together; lower one of them")
    if abs(found["chain"]) > np.sqrt(found["convergent"] * found["divergent"]) + 1e-12:
        raise BadInput(
            "the chain statistic is the covariance of in- and out-degree, so it cannot exceed what the convergent and "
            "divergent statistics allow; raise those or bring it nearer to 0"
        )
    rest = 1 - found["convergent"] - found["divergent"]
    if abs(found["reciprocal"] - 2 * found["chain"]) > rest + 1e-12:
        raise BadInput("the reciprocal statistic cannot be reached together with these chain and degree statistics")


def motif_statistics(graph) -> MotifStatistics:
    """Return the measured statistics of a graph (dense or sparse), from its degrees and its reciprocal pairs.

    Raises
    ------
    BadInput
        When there is no connection.
    """
    n = graph.shape[0]
    _checked_size(n)
    ones = sparse.csr_array(graph != 0, dtype=np.int64)
    in_degree, out_degree = (np.asarray(ones.sum(axis=axis)).ravel() for axis in (1, 0))
    p = in_degree.sum() / (n * (n - 1))
    if p == 0:
        raise BadInput("the network has no connection, so it has no motif statistics")
    mutual = ones.multiply(ones.T).sum()
    pairs, triples = n * (n - 1) * p**2, n * (n - 1) * (n - 2) * p**2
    return MotifStatistics(
        float(p),
        float(mutual / pairs - 1),
        float((in_degree * (in_degree - 1)).sum() / triples - 1),
        float((out_degree * (out_degree - 1)).sum() / triples - 1),
        float(((in_degree * out_degree).sum() - mutual) / triples - 1),
    )


def motif_counts(graph) -> dict[str, int]:
    """Return how many reciprocal, convergent and divergent pairs and chains a graph holds (unordered; a chain has
    three neurons).
    """
    n = graph.shape[0]
    measured = motif_statistics(graph)
    pairs, triples = n * (n - 1) * measured.probability**2, n * (n - 1) * (n - 2) * measured.probability**2
    totals = {"reciprocal": pairs / 2, "convergent": triples / 2, "divergent": triples / 2, "chain": triples}
    return {name: round(total * (1 + getattr(measured, name))) for name, total in totals.items()}


def in_degrees(graph) -> np.ndarray:
    """Return the number of connections into each neuron (n,)."""
    return np.asarray((graph != 0).sum(axis=1)).ravel().astype(int)


def signed_weights(
    graph, strength_mv_per_hz: float, inhibitory_fraction: float = 0.0, inhibition: float = 4.0
) -> np.ndarray:
    """Return weights (n, n) in mV per Hz: the last `inhibitory_fraction` of the neurons inhibit, `inhibition` times
    as strongly.

    Every connection out of one neuron has the same sign (Dale's law).

    Raises
    ------
    BadInput
        When a fraction or strength cannot be.
    """
    if not 0 <= inhibitory_fraction <= 1:
        raise BadInput(f"inhibitory_fraction is {inhibitory_fraction:g}: it must lie between 0 and 1")
    if not (np.isfinite(strength_mv_per_hz) and np.isfinite(inhibition) and inhibition >= 0):
        raise BadInput(
            f"a connection strength of {strength_mv_per_hz:g} mV per Hz and inhibition {inhibition:g} times as strong "
            "make no network: give finite numbers, the second not negative"
        )
    n = graph.shape[0]
    columns = np.full(n, float(strength_mv_per_hz))
    inhibitory = round(n * inhibitory_fraction)
    if inhibitory:
        columns[-inhibitory:] *= -inhibition
    return graph @ sparse.diags_array(columns) if sparse.issparse(graph) else graph * columns
