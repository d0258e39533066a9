"""Perturbation: all effects of 1,000 neurons over 1e6 steps, streamed, against the matrix product that bounds it and
numpy.corrcoef.

    python benchmarks/perturbation.py [--neurons 1000] [--steps 1000000]

Times are CPU seconds of one thread; memory is the peak of this process. Prints a table and one JSON line.
"""

import argparse
import json
import os
import resource
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np


def product_seconds(neurons: int, samples: int) -> float:
    """Return the CPU time of the 32-bit product (neurons x samples) by (samples x neurons), from one block of it."""
    rng = np.random.default_rng(0)
    first, second = (rng.random((2048, neurons), dtype=np.float32) for _ in range(2))
    first.T @ second
    start = time.process_time()
    for _ in range(5):
        first.T @ second
    return (time.process_time() - start) / 5 * samples / 2048


def corrcoef_seconds(neurons: int, samples: int, part: int = 20_000) -> float:
    """Return the CPU time of the tutorial's stacked ``numpy.corrcoef``, from a part of the samples."""
    rng = np.random.default_rng(0)
    stacked = rng.random((2 * neurons, part))
    start = time.process_time()
    np.corrcoef(stacked)
    return (time.process_time() - start) * samples / part


def streamed(neurons: int, steps: int) -> dict:
    """Return the CPU time of simulating and estimating, and of estimating alone, and how good the estimate is."""
    from bmi_runtime.analysis.perturbation import effects, planning, simulate

    rng = np.random.default_rng(1)
    connectivity = simulate.random_connectivity(neurons, rng)
    spent = {"estimating": 0.0}
    update = effects.EffectAccumulator.update

    def timed(self, *arguments):
        start = time.process_time()
        update(self, *arguments)
        spent["estimating"] += time.process_time() - start

    effects.EffectAccumulator.update = timed
    try:
        start = time.process_time()
        sums = simulate.stream_sigmoid(connectivity, steps, rng)
        estimate = sums.result()
        total = time.process_time() - start
    finally:
        effects.EffectAccumulator.update = update
    expected = planning.expected_correlation(planning.system_of_model(connectivity), steps / 2)
    return {
        "simulating_and_estimating_s": total,
        "estimating_s": spent["estimating"],
        "correlation_with_truth": effects.agreement(connectivity.T, estimate.estimate),
        "expected_correlation": expected,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=1_000_000)
    options = parser.parse_args()
    result = {"neurons": options.neurons, "steps": options.steps} | streamed(options.neurons, options.steps)
    result["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result["whole_data_mb"] = options.neurons * options.steps * 8 / 2**20
    result["product_limit_s"] = product_seconds(options.neurons, options.steps // 2)
    result["numpy_corrcoef_s"] = corrcoef_seconds(options.neurons, options.steps // 2)
    result["estimating_over_limit"] = result["estimating_s"] / result["product_limit_s"]
    result["corrcoef_over_ours"] = result["numpy_corrcoef_s"] / result["estimating_s"]
    for name, value in result.items():
        print(f"  {name:30s}{value:14.4g}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
