"""Random parameter sets: nothing crashes, and printed errors hold. Slow.

``BMI_RANDOM_SETS`` and ``BMI_RANDOM_HELD`` set how many there are of either, ``BMI_RANDOM_SEED`` which.
"""

import os
import warnings

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.analysis.fokker_planck import blow_up, evolve, report
from bmi_runtime.analysis.fokker_planck.initial import Gaussian
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.cli.fokker_planck import fokker_planck
from bmi_runtime.errors import BmiError

SETS = int(os.environ.get("BMI_RANDOM_SETS", "2000"))
BLOCKS = 4
HELD = int(os.environ.get("BMI_RANDOM_HELD", "200"))
SEED = int(os.environ.get("BMI_RANDOM_SEED", "20"))


def number(rng, low, high, signed=False, zero=0.0):
    """A number between powers of ten, sometimes zero, as typed on a command line."""
    if rng.random() < zero:
        return "0"
    value = 10 ** rng.uniform(np.log10(low), np.log10(high)) * (rng.choice([-1, 1]) if signed else 1)
    return f"{value:.6g}"


def equation(rng):
    """Options of one equation, far beyond what anybody sensible would type."""
    options = [f"--b={number(rng, 1e-2, 30, True, 0.1)}", f"--a0={number(rng, 3e-3, 30)}"]
    options += [f"--a1={number(rng, 1e-3, 5, zero=0.6)}", f"--refractory={number(rng, 1e-3, 3, zero=0.5)}"]
    options += [f"--threshold-eps={number(rng, 3e-3, 1, zero=0.7)}", f"--current={number(rng, 1e-2, 6, True, 0.5)}"]
    if rng.random() < 0.3:
        reset = rng.uniform(-3, 1.9)
        options += [f"--v-reset={reset:.5g}", f"--v-threshold={reset + 10 ** rng.uniform(-1.5, 0.8):.5g}"]
    return options


def initial(rng):
    return f"--initial=gaussian:{rng.uniform(-4, 2.2):.4g},{10 ** rng.uniform(-3, 0.7):.4g}"


def network(rng):
    n = int(rng.integers(1, 4))
    b = rng.uniform(0.05, 4, (n, n)) * np.where(rng.random(n) < 0.5, -1, 1)
    rows = ";".join(",".join(f"{value:.4g}" for value in row) for row in b)
    return [f"--b={rows}", f"--refractory={number(rng, 1e-2, 1, zero=0.3)}", f"--a={number(rng, 1e-3, 1, zero=0.6)}",
            f"--current={number(rng, 1e-1, 4, True, 0.4)}"]  # fmt: skip


KINDS = {
    "run": lambda rng: [*equation(rng), initial(rng), f"--duration={number(rng, 1e-2, 3)}", "--cells=160",
                        f"--delay={number(rng, 1e-2, 1, zero=0.7)}", "--tolerance=1e-5", "--snapshots=3"],
    "steady": equation,
    "elapsed": lambda rng: [f"--coupling={number(rng, 1e-2, 30, zero=0.1)}", f"--duration={number(rng, 0.1, 5)}",
                            f"--step={number(rng, 1e-2, 0.6)}", f"--delay={number(rng, 1e-2, 1, zero=0.6)}",
                            f"--initial=exponential:{number(rng, 0.05, 20)}"],
    "polarise": lambda rng: [f"--mass={number(rng, 1e-2, 20)}", f"--duration={number(rng, 1e-2, 0.5)}", "--cells=60",
                             f"--exchange={number(rng, 1e-2, 10, zero=0.5)}", "--tolerance=1e-3",
                             f"--initial=exponential:{number(rng, 0.05, 5)}"],
    "coupled run": lambda rng: [*network(rng), initial(rng), f"--duration={number(rng, 1e-2, 1)}", "--cells=100",
                                "--tolerance=1e-4", "--snapshots=3"],
    "continue": lambda rng: [*(x for x in equation(rng) if not x.startswith("--threshold-eps")), initial(rng),
                             f"--duration={number(rng, 1e-2, 2)}", "--cells=200"],
    "discriminate": lambda rng: [f"--input={number(rng, 1e-2, 8, True)}", f"--new-input={number(rng, 1e-2, 8, True)}",
                                 f"--rule=-{number(rng, 0.5, 80)}", f"--a0={number(rng, 0.05, 4)}"],
    "wilson-cowan": lambda rng: [f"--signal={number(rng, 0.1, 3, True)},{number(rng, 0.1, 3, True)}", "--duration=10",
                                 f"--gain={number(rng, 1e-2, 5, True)}", f"--rule={rng.choice(['decay', 'product'])}"],
}  # fmt: skip
SHARES = {"run": 0.4, "steady": 0.12, "elapsed": 0.1, "polarise": 0.06, "coupled run": 0.1, "continue": 0.08,
          "discriminate": 0.07, "wilson-cowan": 0.07}  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_parameter_set_crashes(block):
    """Every set ends in an answer or in one sentence; warnings of numpy are crashes too."""
    rng = np.random.default_rng([SEED, block])
    failures, refused, sets = [], 0, SETS // BLOCKS
    kinds = rng.choice(list(SHARES), sets, p=list(SHARES.values()))
    for kind in kinds:
        arguments = [*kind.split(), *KINDS[kind](rng), "--json"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            done = CliRunner().invoke(fokker_planck, arguments)
        if done.exception is not None and not isinstance(done.exception, BmiError):
            failures.append(f"{' '.join(arguments)}: {done.exception!r}")
            print(failures[-1], flush=True)
        refused += isinstance(done.exception, BmiError)
    assert failures == []
    assert refused < 0.5 * sets  # most sets are answered


def _sensible(rng):
    """A set that a person could run: the answer is a rate, an oscillation or a blow-up."""
    b = rng.uniform(-3, 3.5)
    model = Model(
        b=b, a0=10 ** rng.uniform(-0.7, 0.4), a1=float(rng.choice([0.0, rng.uniform(0, 0.3)])),
        refractory=float(rng.choice([0.0, rng.uniform(0.02, 0.4)])), current=float(rng.uniform(-0.5, 1.5)),
        threshold_eps=float(rng.choice([0.0, 0.0, rng.uniform(0.02, 0.2)])), delay=float(rng.choice([0.0, 0.0, 0.3])),
    )  # fmt: skip
    taper = 1e-3 if model.a1 > 0 else 0.0
    return model, Gaussian(rng.uniform(-1.0, 1.2), 10 ** rng.uniform(-1.5, -0.3), 2.0, taper), rng.uniform(0.3, 3.0)


def _reference(model, start, duration, result):
    """The same numbers from four times the cells and a hundredth of the tolerance."""
    if result["status"] == "blow_up":
        event = blow_up.locate(model, start, duration, cells=1200, tolerance=1e-8)
        return {} if event is None else {"blow_up_time": event.time}
    run = evolve.evolve(model, start, duration, cells=1600, tolerance=1e-10, snapshots=2)
    if run.ended != "finished":
        finest = 1e-5
        grid = evolve.default_grid(model, start, 1600, finest)
        run = evolve.evolve(model, start, duration, grid=grid, tolerance=1e-10, snapshots=2)
    return {"rate_final": float(run.rate[-1])}


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_printed_errors_hold_in_95_percent_of_random_sets():
    rng = np.random.default_rng(SEED + 1)
    inside, outside, tried = 0, [], 0
    while inside + len(outside) < HELD and tried < 3 * HELD:
        tried += 1
        model, start, duration = _sensible(rng)
        try:
            result, _ = report.run(model, start, duration, snapshots=2)
            reference = _reference(model, start, duration, result)
        except BmiError:
            continue  # refused in one sentence
        for name, value in reference.items():
            error = result[f"{name}_error"]
            if error is None:
                continue
            held = abs(result[name] - value) <= error + 1e-12
            inside += held
            if not held:
                outside.append(f"{model} {duration:.4g}: {name} {result[name]:.10g} +- {error:.2g}, is {value:.10g}")
    assert inside + len(outside) >= HELD
    assert inside >= 0.95 * (inside + len(outside)), "\n".join(outside)
