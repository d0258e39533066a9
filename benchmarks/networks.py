"""Networks: the f-I curve, fixed points and spikes, against limits and peers measured in the same run.

    python benchmarks/networks.py [rates] [fixed-points] [sparse] [spiking] [agreement] [--jax PYTHON] [--nest PYTHON]
    [--brian PYTHON]

The options name interpreters of environments that hold jax with optimistix and jaxopt, NEST, and Brian2; a peer that
is not given is skipped. Times are CPU seconds of one thread. Prints tables and one JSON line.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np

TAU_S, REFRACTORY_S, THRESHOLD, RESET, SIGMA = 0.02, 0.002, -45.0, -60.0, 5.0
PEERS = pathlib.Path(__file__).parent / "peers_networks.py"


def cpu(call, repeats: int = 3) -> tuple[float, object]:
    """Return the smallest CPU time of `call` over repeats (after one untimed call) and its result."""
    result, best = call(), np.inf
    for _ in range(repeats):
        start = time.process_time()
        result = call()
        best = min(best, time.process_time() - start)
    return best, result


def rates() -> dict:
    from bmi_runtime.kernels import lif

    result = {}
    out = np.empty((2, 1_000_000))
    for low, high in ((-90, 60), (-60, -40), (-40, 400)):
        inputs = np.linspace(low, high, 1_000_000)
        arguments = (inputs, TAU_S, REFRACTORY_S, THRESHOLD, RESET, SIGMA, *out)
        seconds, _ = cpu(lambda arguments=arguments: lif.lif_rates(*arguments))
        result[f"{low} to {high} mV"] = seconds
        print(f"f-I curve and slope, 1e6 inputs from {low} to {high} mV: {seconds:.3f} s")
    result["worst_relative_error"] = worst_error(lif)
    print(f"largest relative error against 30-digit quadrature (rate, slope): {result['worst_relative_error']}")
    return result


def worst_error(lif) -> list[float] | str:
    try:
        import mpmath
    except ImportError:
        return "skipped: mpmath is not installed"
    mpmath.mp.dps = 30
    worst = [0.0, 0.0]
    for mean in np.concatenate([np.linspace(-89, 60, 40), [1e3, 1e5]]):
        low, high = (mpmath.mpf(v - float(mean)) / SIGMA for v in (RESET, THRESHOLD))
        pieces = mpmath.linspace(low, high, 1 + min(30, int(abs(high) * (high - low) / 8 + 1)))
        density = [lambda x: mpmath.exp(x * x) * mpmath.erfc(-x)][0]
        scale = mpmath.mpf(TAU_S) * mpmath.sqrt(mpmath.pi)
        rate = 1 / (mpmath.mpf(REFRACTORY_S) + scale * mpmath.quad(density, pieces))
        slope = rate**2 * scale / SIGMA * (density(high) - density(low))
        ours = lif.lif_rate(float(mean), TAU_S, REFRACTORY_S, THRESHOLD, RESET, SIGMA)
        worst = [max(w, float(abs(o / t - 1))) for w, o, t in zip(worst, ours, (rate, slope))]
    return worst


def problems() -> dict:
    """Return dense networks of 2,000 neurons (weights, E_0): one whose iteration contracts quickly, one slowly."""
    rng = np.random.default_rng(1)
    n = 2000
    present = rng.random((n, n)) < 0.1
    signs = np.where(np.arange(n) < 1600, 1.0, -4.0)
    return {
        "10 % connected, radius 0.3": (np.where(present, signs * 0.00375, 0.0), -47.0),
        "all-to-all, radius 0.6": (rng.normal(size=(n, n)) * 0.3 / np.sqrt(n), -47.0),
    }


def scipy_peers(network) -> dict:
    """Return CPU seconds and residuals of scipy's solvers, given our rates (the slowest part of theirs otherwise)."""
    from scipy import optimize

    def gap(inputs):
        return inputs - network.external_mv - network.weights @ network.neuron.rate_hz(inputs)

    result = {}
    for method, options in (
        ("krylov", {"fatol": 1e-10}),
        ("anderson", {"fatol": 1e-10, "maxiter": 300}),
        ("df-sane", {"ftol": 0.0, "fatol": 1e-9, "maxfev": 2000}),
    ):
        start = time.process_time()
        try:
            found = optimize.root(gap, network.external_mv, method=method, options=options)
            residual = float(np.abs(gap(found.x)).max())
        except (optimize.NoConvergence, ValueError) as error:
            residual = str(error)[:40]
        result[f"scipy root {method}"] = (time.process_time() - start, residual)
    return result


def fixed_points(jax_python) -> dict:
    from bmi_runtime.analysis.networks.network import RateNetwork
    from bmi_runtime.analysis.networks.solvers import iterate, solve_from

    result = {}
    for name, (weights, external) in problems().items():

        def ours(tolerance_mv=1e-12, weights=weights, external=external):  # below what the fast peers reach
            network = RateNetwork(weights, external)  # checks and conversions are part of the time
            return solve_from(network, network.external_mv, tolerance_mv=tolerance_mv)

        seconds, found = cpu(ours, 5)
        network = RateNetwork(weights, external)
        product, _ = cpu(lambda network=network: network.weights @ network.external_mv, 5)
        rows = {"ours": (seconds, float(np.abs(network.mapped(found.input_mv) - found.input_mv).max()))}
        loose, less = cpu(lambda ours=ours: ours(1e-10), 5)
        rows["ours, to 1e-10 mV"] = (loose, less.residual)
        plain, done = cpu(lambda network=network: iterate(network, network.external_mv), 2)
        rows["ours, plain iteration"] = (plain, done.residual)
        rows |= scipy_peers(network) | jax_peers(jax_python, weights, external)
        report(f"fixed point, 2,000 neurons, {name} (one dense product: {product * 1e3:.2f} ms)", rows)
        good = [s for key, (s, r) in rows.items() if not key.startswith("ours") and isinstance(r, float) and r < 1e-9]
        result[name] = {
            "rows": rows,
            "best_peer_over_ours": min(good) / seconds if good else None,
            "product_s": product,
        }
    return result


def jax_peers(python, weights, external) -> dict:
    if python is None:
        return {"jax (optimistix, jaxopt)": (np.nan, "skipped: no --jax PYTHON")}
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/in.npz", weights=weights, external=external)
        return {key: tuple(value) for key, value in peer(python, "jax", folder).items()}


def peer(python: str, kind: str, folder: str) -> dict:
    done = subprocess.run([python, str(PEERS), kind, folder], capture_output=True, text=True)
    if done.returncode:
        return {kind: (np.nan, "failed: " + (done.stderr.strip().splitlines() or ["silent"])[-1][:100])}
    return json.loads(done.stdout.strip().splitlines()[-1])


def report(title: str, rows: dict) -> None:
    print(f"\n{title}")
    for name, (seconds, residual) in rows.items():
        shown = f"{residual:.1e} mV" if isinstance(residual, float) else residual
        print(f"  {name:36s}{seconds:10.3f} s   residual {shown}")


def sparse_network() -> dict:
    from bmi_runtime.analysis.networks import graphs
    from bmi_runtime.analysis.networks.network import RateNetwork
    from bmi_runtime.analysis.networks.solvers import solve_from

    rng = np.random.default_rng(1)
    graph = graphs.sparse_erdos_renyi(100_000, 100, rng)
    network = RateNetwork(graphs.signed_weights(graph, 0.01, 0.2), -46.0)
    result = {}
    for method in ("auto", "krylov"):
        start = time.process_time()
        found = solve_from(network, network.external_mv, method)
        result[method] = {
            "seconds": time.process_time() - start,
            "residual": found.residual,
            "products": found.iterations,
        }
        print(f"\n100,000 neurons, 100 inputs each, {method}: {result[method]}")
    return result


def spiking_graph(n: int = 10_000, excitatory: int = 800, inhibitory: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and sources of a network in which every neuron hears 800 excitatory and 200 inhibitory ones."""
    rng = np.random.default_rng(7)
    sources = np.empty((n, excitatory + inhibitory), dtype=np.int32)
    for i in range(n):
        sources[i, :excitatory] = rng.choice(int(0.8 * n), excitatory, replace=False, shuffle=False)
        sources[i, excitatory:] = int(0.8 * n) + rng.choice(int(0.2 * n), inhibitory, replace=False, shuffle=False)
    return np.repeat(np.arange(n, dtype=np.int32), sources.shape[1]), sources.ravel()


def spiking(nest_python, brian_python) -> dict:
    from scipy import sparse

    from bmi_runtime.analysis.networks.neuron import LIFNeuron
    from simulators.network import SpikingNetwork

    n, jump, ratio = 10_000, 0.1, 5.0
    targets, sources = spiking_graph(n)
    values = np.where(sources < 0.8 * n, jump, -ratio * jump) * TAU_S
    weights = sparse.csr_array((values, (targets, sources)), shape=(n, n))
    seconds, whole, later = [], [], []
    for seed in range(6):
        network = SpikingNetwork(weights, -30.0, LIFNeuron(), np.random.default_rng(seed), crossing="grid", noise=False)
        begun = network.step(0.1)
        start = time.process_time()
        counts = network.step(1.0)
        seconds.append(time.process_time() - start)
        later.append(counts.mean())  # NEST counts from 0.1 s, Brian2 from the start
        whole.append(begun.mean() + 0.9 * counts.mean())
    rows = {"ours": {"seconds": min(seconds), "rate_hz": np.mean(later), "rate_sd_hz": counts.std()}}
    rows["ours"] |= {"between_starts_sd_hz": np.std(later, ddof=1), "from_start_hz": np.mean(whole)}
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/in.npz", targets=targets, sources=sources, jump=jump, ratio=ratio)
        for name, python in (("nest", nest_python), ("brian", brian_python)):
            rows[name] = peer(python, name, folder) if python else {"skipped": f"no --{name} PYTHON"}
    for name, ours in (("nest", np.mean(later)), ("brian", np.mean(whole))):
        if "rate_hz" in rows[name]:
            spread = np.std(later, ddof=1) * np.sqrt(1 + 1 / len(later))
            rows[name]["apart_in_sd"] = (rows[name]["rate_hz"] - ours) / spread
    print("\n10,000 neurons, 1,000 inputs each, 1 s at 0.1 ms, no noise, delta synapses, delay 1.5 ms")
    for name, row in rows.items():
        print(f"  {name:8s}{row}")
    return rows


def theory_agreement() -> list[dict]:
    """Simulate neurons in noise, unconnected, at several inputs; return rates with standard errors beside Siegert's."""
    from scipy import sparse

    from bmi_runtime.analysis.networks.neuron import LIFNeuron
    from simulators.network import SpikingNetwork

    inputs, copies, duration_s = np.array([-55.0, -52.0, -48.0, -45.0, -40.0, -30.0, -10.0]), 400, 5.0
    nothing = sparse.csr_array((inputs.size * copies, inputs.size * copies))
    network = SpikingNetwork(nothing, np.repeat(inputs, copies), LIFNeuron(), np.random.default_rng(3))
    network.step(0.3)
    rates = network.step(duration_s).reshape(inputs.size, copies) / duration_s
    errors = rates.std(axis=1, ddof=1) / np.sqrt(copies)
    rows = []
    print("\nrates of unconnected neurons in noise, against Siegert's formula (difference in s.e.)")
    for mean, rate, error, wanted in zip(inputs, rates.mean(axis=1), errors, LIFNeuron().rate_hz(inputs)):
        rows.append({"input_mv": mean, "rate_hz": rate, "error_hz": error, "theory_hz": wanted})
        apart = rows[-1]["apart_in_errors"] = (rate - wanted) / error
        print(f"  {mean:6.0f} mV: {rate:9.4f} +- {error:.4f} Hz, theory {wanted:9.4f} ({apart:+.2f})")
    return rows


def agreement(nest_python, brian_python) -> dict:
    """Compare mean rates of one network (the same connections) between simulators, with errors over batches of time."""
    from scipy import sparse

    from bmi_runtime.analysis.networks.neuron import LIFNeuron
    from simulators.network import SpikingNetwork

    n, jump, ratio, batches, batch_s = 2000, 0.25, 5.0, 12, 0.5
    targets, sources = spiking_graph(n, 160, 40)
    values = np.where(sources < 0.8 * n, jump, -ratio * jump) * TAU_S
    weights = sparse.csr_array((values, (targets, sources)), shape=(n, n))
    network = SpikingNetwork(weights, -30.0, LIFNeuron(), np.random.default_rng(1), crossing="grid", noise=False)
    network.step(0.5)
    found = {"ours": {"rates_hz": [network.step(batch_s).mean() / batch_s for _ in range(batches)]}}
    with tempfile.TemporaryDirectory() as folder:
        shared = {"size": n, "jump": jump, "ratio": ratio, "batches": batches, "batch_s": batch_s}
        np.savez(f"{folder}/in.npz", targets=targets, sources=sources, **shared)
        for name, python in (("nest", nest_python), ("brian", brian_python)):
            found[name] = peer(python, f"{name}-rates", folder) if python else {"skipped": f"no --{name} PYTHON"}
    print(f"\nmean rate of one network of {n} neurons, {batches} batches of {batch_s} s (difference from ours in s.e.)")
    for name, row in found.items():
        if "rates_hz" not in row:
            print(f"  {name}: {row}")
            continue
        row["rate_hz"] = float(np.mean(row["rates_hz"]))
        row["error_hz"] = float(np.std(row["rates_hz"], ddof=1) / np.sqrt(batches))
        error = np.hypot(row["error_hz"], found["ours"]["error_hz"])
        row["apart_in_errors"] = (row["rate_hz"] - found["ours"]["rate_hz"]) / error
        print(f"  {name:6s}{row['rate_hz']:9.4f} +- {row['error_hz']:.4f} Hz ({row['apart_in_errors']:+.2f})")
    return {"theory": theory_agreement(), "simulators": found}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", help="rates, fixed-points, sparse, spiking, agreement")
    for name in ("jax", "nest", "brian"):
        parser.add_argument(f"--{name}", metavar="PYTHON")
    options = parser.parse_args()
    parts = {
        "rates": rates,
        "fixed-points": lambda: fixed_points(options.jax),
        "sparse": sparse_network,
        "spiking": lambda: spiking(options.nest, options.brian),
        "agreement": lambda: agreement(options.nest, options.brian),
    }
    unknown = set(options.only) - set(parts)
    if unknown:
        sys.exit(f"there is no part {', '.join(unknown)}; choose from {', '.join(parts)}")
    result = {name: part() for name, part in parts.items() if not options.only or name in options.only}
    print(json.dumps(result, default=float))


if __name__ == "__main__":
    main()
