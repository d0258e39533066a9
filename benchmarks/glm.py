"""Coupled Poisson GLMs: our fit of all units against what a lab can install, on the same problem in one run.

    python benchmarks/glm.py [--units 30] [--bins 200000] [--peers-python PYTHON] [--peers scikit-learn,glum,...]

Each fit runs in its own process with one thread and is timed in CPU seconds. Peers fit ``--peer-units`` units (1 by
default) on the dense design matrix, which is built for them outside the timing; their time is multiplied up to all
units, and the table says so. ``--peers-python`` is an interpreter that has the peers (ours by default); a peer that
is not importable is skipped with the reason. Prints a table and, last, one JSON line.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
PEERS = ("blocked numpy Newton", "scikit-learn newton-cholesky", "glum", "statsmodels", "nemos")
LAGS, FUNCTIONS = 100, 10


def make_problem(units, bins, folder):
    """Write a stable random network's spikes at 1 ms (about 15 Hz) with two covariates."""
    import numpy as np

    from bmi_runtime.analysis.glm import parse_basis
    from bmi_runtime.analysis.glm.simulation import random_network, simulate, smooth_velocity

    rng = np.random.default_rng(1)
    network = random_network(units, parse_basis(f"raised-cosine:{FUNCTIONS}", LAGS), rng, 0.013)
    velocity = smooth_velocity(bins, 0.001, rng)
    counts = simulate(network.intercept, network.coupling, bins, rng, velocity @ network.covariate_weights.T)
    np.savez(folder / "problem.npz", counts=counts.astype(np.uint8), covariates=velocity, bin_s=0.001)
    return counts.mean()


def write_dense(folder, unit):
    """Write the dense design matrix (without intercept) and one unit's counts for the peers."""
    import numpy as np

    from bmi_runtime.analysis.glm import PoissonGLM

    problem = np.load(folder / "problem.npz")
    model = PoissonGLM(LAGS, f"raised-cosine:{FUNCTIONS}")
    design = model._prepare(problem["counts"], problem["covariates"], None).objective.design
    shape = (design.rows, design.parameters - 1)
    matrix = np.lib.format.open_memmap(folder / "matrix.npy", "w+", np.float64, shape)
    for begin, end in design.blocks():
        matrix[begin:end] = design.features(begin, end)[:, 1:]
    matrix.flush()
    np.save(folder / "counts.npy", problem["counts"][LAGS:, unit].astype(float))


def fit_ours(folder, standard_errors):
    import numpy as np

    from bmi_runtime.analysis.glm import PoissonGLM

    problem = np.load(folder / "problem.npz")
    counts, covariates = problem["counts"], problem["covariates"]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    warm = PoissonGLM(LAGS, f"raised-cosine:{FUNCTIONS}", method="shared", standard_errors="none")
    warm.fit(counts[:5000], covariates[:5000])  # compiled code is read from the cache
    began = time.process_time()
    model = PoissonGLM(LAGS, f"raised-cosine:{FUNCTIONS}", standard_errors=standard_errors).fit(counts, covariates)
    seconds = time.process_time() - began
    np.save(folder / "ours.npy", model.weights_)  # in the units of the dense matrix: covariates standardised
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "cpu_s": seconds,
        "beyond_mb": peak - before,
        "gradient": float(model.gradient_max_.max()),
        "iterations": int(model.iterations_.max()),
        "converged": bool(model.converged_.all()),
    }


def newton_blocked(matrix, counts, block=16384, tolerance=1e-10):
    """Exact Newton for one unit on blocks of the dense matrix: what a careful numpy user would write."""
    import numpy as np

    weights = np.r_[np.log(counts.mean()), np.zeros(matrix.shape[1])]
    for _ in range(50):
        gradient, hessian = np.zeros(len(weights)), np.zeros((len(weights),) * 2)
        for begin in range(0, len(counts), block):
            rows = np.empty((len(matrix[begin : begin + block]), len(weights)))
            rows[:, 0], rows[:, 1:] = 1.0, matrix[begin : begin + block]
            rate = np.exp(rows @ weights)
            gradient += rows.T @ (rate - counts[begin : begin + block])
            rows *= np.sqrt(rate)[:, None]
            hessian += rows.T @ rows
        if np.abs(gradient).max() / len(counts) < tolerance:
            break
        weights -= np.linalg.solve(hessian, gradient)
    return weights


def fit_scikit_learn(matrix, counts):
    from sklearn.linear_model import PoissonRegressor

    fit = PoissonRegressor(alpha=0, solver="newton-cholesky", tol=1e-9, max_iter=100).fit(matrix, counts)
    return [fit.intercept_, *fit.coef_]


def fit_glum(matrix, counts):
    from glum import GeneralizedLinearRegressor

    options = {"family": "poisson", "alpha": 0, "gradient_tol": 1e-9, "max_iter": 100, "solver": "irls-ls"}
    fit = GeneralizedLinearRegressor(**options).fit(matrix, counts)
    return [fit.intercept_, *fit.coef_]


def fit_statsmodels(matrix, counts):
    import numpy as np
    import statsmodels.api as sm

    columns = np.column_stack([np.ones(len(counts)), matrix])
    return sm.GLM(counts, columns, family=sm.families.Poisson()).fit(tol=1e-12).params


def fit_nemos(matrix, counts):
    import jax

    jax.config.update("jax_enable_x64", True)
    import nemos

    fit = nemos.glm.GLM(solver_name="LBFGS").fit(matrix, counts)  # its defaults: it takes minutes to go further
    return [float(fit.intercept_[0]), *[float(value) for value in fit.coef_]]


FITS = dict(zip(PEERS, (newton_blocked, fit_scikit_learn, fit_glum, fit_statsmodels, fit_nemos)))


def fit_peer(name, folder):
    import numpy as np

    counts = np.load(folder / "counts.npy")
    try:
        FITS[name](np.random.default_rng(0).normal(size=(300, 3)), np.arange(300.0) % 2)  # imports, compilation
    except ImportError as error:
        return {"skipped": str(error)}
    matrix = np.load(folder / "matrix.npy", mmap_mode="r" if name == PEERS[0] else None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.process_time()
    weights = FITS[name](matrix, counts)
    seconds = time.process_time() - began
    np.save(folder / f"{name}.npy", np.asarray(weights, float))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    matrix_mb = 0 if name == PEERS[0] else matrix.nbytes / 1e6
    return {"cpu_s": seconds, "beyond_mb": peak - before + matrix_mb}


def compare(folder, name, unit):
    """Return shortfall in mean log-likelihood (nats per bin) against ours, and the largest gradient."""
    import numpy as np

    matrix, counts = np.load(folder / "matrix.npy", mmap_mode="r"), np.load(folder / "counts.npy")
    ours = np.load(folder / "ours.npy")[:, unit]
    theirs = np.load(folder / f"{name}.npy")

    def mean(weights):
        total, gradient = 0.0, np.zeros(len(weights))
        for begin in range(0, len(counts), 16384):
            rows, seen = matrix[begin : begin + 16384], counts[begin : begin + 16384]
            predictor = rows @ weights[1:] + weights[0]
            rate = np.exp(predictor)
            total += (seen * predictor - rate).sum()
            gradient += np.r_[(rate - seen).sum(), rows.T @ (rate - seen)]
        return total / len(counts), np.abs(gradient).max() / len(counts)

    (best, _), (value, gradient) = mean(ours), mean(theirs)
    off = float(np.abs(ours - theirs).max())
    return {"short_nats_per_bin": float(best - value), "gradient": float(gradient), "coefficients_off": off}


def run_child(python, arguments):
    environment = {**os.environ, **THREADS, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    done = subprocess.run([python, __file__, *arguments], capture_output=True, text=True, env=environment)
    if done.returncode:
        return {"skipped": (done.stderr.strip().splitlines() or ["failed"])[-1][:150]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def print_table(results, units):
    print(
        f"\n{'fit':<32}{'CPU s, all units':>18}{'times ours':>12}{'MB beyond data':>16}{'gradient':>11}{'short by':>10}"
    )
    ours = results["ours"]["cpu_s"]
    for name, row in results.items():
        if "skipped" in row:
            print(f"{name:<32}  skipped: {row['skipped']}")
            continue
        total = row["cpu_s"] * row.get("scale", 1)
        note = f"{total:.1f}" + (" *" if row.get("scale", 1) > 1 else "  ")
        short = f"{row['short_nats_per_bin']:.1e}" if "short_nats_per_bin" in row else "-"
        numbers = f"{note:>18}{total / ours:>12.1f}{row['beyond_mb']:>16.0f}{row['gradient']:>11.1e}{short:>10}"
        print(f"{name:<32}{numbers}")
    print(f"* measured on one unit, times {units}. 'short by': mean log-likelihood below ours, nats per bin.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=30)
    parser.add_argument("--bins", type=int, default=200_000)
    parser.add_argument("--unit", type=int, default=0, help="the unit that the peers fit")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated; 'none' for our fit alone")
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, folder = options.child[0], pathlib.Path(options.child[1])
        ours = name.startswith("ours")
        result = fit_ours(folder, "auto" if "errors" in name else "none") if ours else fit_peer(name, folder)
        print(json.dumps(result))
        return
    os.environ.update(THREADS)
    peers = [] if options.peers == "none" else options.peers.split(",")
    with tempfile.TemporaryDirectory() as text:
        folder = pathlib.Path(text)
        rate = make_problem(options.units, options.bins, folder)
        size = f"{options.units} units, {options.bins} bins, {3 + options.units * FUNCTIONS} coefficients each"
        print(f"{size}, {rate:.4f} spikes per bin")
        results = {
            "ours": run_child(sys.executable, ["--child", "ours", text]),
            "ours, with standard errors": run_child(sys.executable, ["--child", "ours, errors", text]),
        }
        if peers:
            write_dense(folder, options.unit)
        for name in peers:
            row = run_child(options.peers_python, ["--child", name, text])
            if "skipped" not in row:
                row |= {"scale": options.units, **compare(folder, name, options.unit)}
            results[name] = row
            print(name, row, file=sys.stderr, flush=True)
        print_table(results, options.units)
        print(json.dumps({"units": options.units, "bins": options.bins, "results": results}))


if __name__ == "__main__":
    main()
