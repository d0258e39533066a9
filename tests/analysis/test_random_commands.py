"""Random options for every command of the offline rooms: each call ends in an answer or in one sentence.

The options are read off the commands themselves, so a new command or option is tried without being listed here; the
tables below only say what is a sensible (and short) value. A third of the calls also get one hostile value. Slow;
``BMI_RANDOM_COMMANDS`` sets how many calls there are, ``BMI_RANDOM_SEED`` which.
"""

import contextlib
import json
import os
import re
import resource
import signal
import warnings

import click
import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.analysis.fokker_planck import steady
from bmi_runtime.analysis.fokker_planck.model import Model
from bmi_runtime.cli.fokker_planck import fokker_planck
from bmi_runtime.cli.glm import glm
from bmi_runtime.cli.networks import networks
from bmi_runtime.cli.perturb import perturb
from bmi_runtime.errors import BmiError

CALLS = int(os.environ.get("BMI_RANDOM_COMMANDS", "2000"))
SEED = int(os.environ.get("BMI_RANDOM_SEED", "31"))
BLOCKS = 4
SECONDS = 30  # a call that takes longer is stopped: it was asked for much, and that is not a fault
BYTES = 6 << 30
GROUPS = {"fokker-planck": fokker_planck, "networks": networks, "perturb": perturb, "glm": glm}
NEVER = {"json", "debug", "gui", "cluster", "help", "jobs", "threads"}
RARE = {"fokker-planck plot", "networks plot", "networks study", "perturb compare", "fokker-planck border",
        "fokker-planck hopf", "fokker-planck coupled hopf", "fokker-planck fit"}  # fmt: skip
HOSTILE = {
    "float": ["0", "-1", "nan", "inf", "-inf", "1e-300", "1e300", "-1e300", "1e9", "1e-12", "0.999999999999", "x", ""],
    "integer": ["0", "-1", "1", "2", "3", "1000000000", "1000000000000000000", "1.5", "x", ""],
    "text": [
        "",
        "x",
        ",",
        ":",
        "1:2:3",
        "nan",
        "inf",
        "-",
        "1,",
        "0",
        "-1",
        "1e300",
        "1:1",
        "0:nan",
        "a=b",
        "ü",
        "1;2;3",
        "  ",
    ],
    "path": ["", ".", "missing.npz", "no/such/folder/x.npz", "text.npz", "empty.npz", "nan.npz", "other.npz", "x.txt"],
}


def power(low, high, zero=0.0, signed=False):
    """Return a generator of numbers between powers of ten, as typed."""

    def draw(rng):
        if rng.random() < zero:
            return "0"
        value = 10 ** rng.uniform(np.log10(low), np.log10(high)) * (rng.choice([-1, 1]) if signed else 1)
        return f"{value:.{rng.integers(1, 9)}g}"

    return draw


def whole(low, high):
    return lambda rng: str(int(np.exp(rng.uniform(np.log(low), np.log(high + 1)))))


def among(*texts):
    return lambda rng: str(rng.choice(np.array(texts, dtype=object)))


def gaussian(rng):
    return f"gaussian:{rng.uniform(-4, 2.2):.4g},{10 ** rng.uniform(-3, 0.7):.4g}"


def table(rng):
    """A constant, or straight lines over weights or times."""
    if rng.random() < 0.5:
        return power(1e-2, 8, 0.1, True)(rng)
    at = np.sort(rng.uniform(-2, 0, rng.integers(2, 5)))
    return ",".join(f"{x:.4g}:{rng.normal():.3g}" for x in at)


def positive_table(rng):
    return re.sub(r":-", ":", table(rng)).lstrip("-") if rng.random() < 0.8 else table(rng)


def current(rng):
    if rng.random() < 0.7:
        return power(1e-2, 6, 0.3, True)(rng)
    at = np.sort(rng.uniform(0, 3, rng.integers(1, 4)))
    return ",".join(f"{x:.4g}:{rng.normal():.3g}" for x in at)


def near_critical(rng):
    """A connectivity close to where steady states end, or anything."""
    if rng.random() < 0.75:
        return power(1e-2, 30, 0.1, True)(rng)
    edge = steady.critical_b(Model(1.0)) or 1.0
    return f"{edge + rng.choice([-1, 1]) * 10 ** rng.uniform(-12, -1):.15g}"


def matrix(rng):
    n = int(rng.integers(1, 4))
    b = rng.uniform(0.05, 4, (n, n)) * np.where(rng.random(n) < 0.5, -1, 1)
    return ";".join(",".join(f"{value:.4g}" for value in row) for row in b)


def values(low, high):
    return lambda rng: ",".join(power(low, high, 0.1)(rng) for _ in range(rng.integers(1, 4)))


NETWORK = among("net.npz", "big.npz", "zero.npz", "one.npz", "saturated.npz")
DATA = among("data.npz", "areas.npz", "binary.npz", "silent.npz", "wide.npz")
SENSIBLE = {
    "b": near_critical,
    "a0": power(3e-3, 30),
    "a1": power(1e-3, 5, 0.5),
    "v_reset": lambda rng: f"{rng.uniform(-3, 1.99):.5g}",
    "v_threshold": lambda rng: f"{rng.uniform(1, 4):.5g}",
    "refractory": power(1e-3, 3, 0.3),
    "delay": power(1e-2, 1, 0.4),
    "threshold_eps": power(3e-3, 1, 0.4),
    "current": current,
    "initial": gaussian,
    "duration": power(1e-2, 2),
    "tolerance": among("1e-4", "1e-5", "1e-8"),
    "cells": whole(20, 200),
    "step": power(2e-3, 0.1),
    "count": whole(2, 3000),
    "particles": whole(1, 2000),
    "snapshots": whole(1, 10),
    "mass": power(1e-2, 20),
    "memory": power(1e-2, 10, 0.5),
    "exchange": power(1e-2, 10, 0.5),
    "length": power(1, 80),
    "coupling": power(1e-2, 30, 0.1),
    "weights": whole(10, 80),
    "filter": power(1e-2, 2, 0.4),
    "new_input": table,
    "input": table,
    "output": positive_table,
    "connectivity": positive_table,
    "rule": table,
    "lowest_weight": lambda rng: f"-{power(0.1, 5)(rng)}",
    "speed": power(1e-2, 1),
    "convex": among("square", "x-log-x", "0:1,1:0,3:2", "cube"),
    "signal": values(0.1, 3),
    "recall_signal": values(0.1, 3),
    "gain": power(1e-2, 5, 0.1, True),
    "sigmoid": among("logistic:4,1", "tanh:2,0.5", "0:0,1:1", "logistic:0,0", "tanh:-1,3"),
    "f": table,
    "rates": among("0.2:4.2:5", "1", "0.5,1,2", "3:1:4"),
    "upper_end": lambda rng: f"{rng.uniform(1.5, 12):.4g}",
    "size": whole(1, 150),
    "probability": lambda rng: f"{rng.uniform(0, 1):.3g}",
    "strength_uv_per_hz": power(0.1, 500, 0.05),
    "inhibitory_fraction": lambda rng: f"{rng.uniform(0, 1):.3g}",
    "external_mv": lambda rng: f"{rng.uniform(-80, 20):.4g}",
    "reciprocal": lambda rng: f"{rng.uniform(-1, 3):.3g}",
    "convergent": lambda rng: f"{rng.uniform(-0.1, 1):.3g}",
    "divergent": lambda rng: f"{rng.uniform(-0.1, 1):.3g}",
    "chain": lambda rng: f"{rng.uniform(-0.3, 0.5):.3g}",
    "starts": whole(1, 10),
    "method": among("auto", "iteration", "newton", "krylov"),
    "tolerance_mv": power(1e-13, 1e-3),
    "strength_max": power(0.1, 5),
    "points": whole(2, 60),
    "checks": whole(1, 4),
    "delay_ms": power(0.1, 30),
    "compare_s": among("0", "2", "0.5"),
    "bin_s": power(1e-3, 0.2),
    "duration_s": power(0.05, 2),
    "dt_ms": power(0.05, 1),
    "synapse_ms": power(0.5, 10, 0.5),
    "crossing": among("bridge", "grid"),
    "sizes": among("5", "5,8", "12"),
    "neurons": whole(2, 40),
    "steps": whole(2, 3000),
    "hidden": among("0", "1", "0,1", "0.5", "3"),
    "permutations": whole(1, 30),
    "clamped_fraction": lambda rng: f"{rng.uniform(0, 1):.3g}",
    "confidence": lambda rng: f"{rng.uniform(0.5, 0.999):.4g}",
    "fdr": lambda rng: f"{rng.uniform(0.001, 0.5):.3g}",
    "early": among("0.1:0.3", "0:0.1", "0.3:0.1"),
    "late": among("0.3:0.5", "0:1"),
    "correlation": lambda rng: f"{rng.uniform(0.1, 0.999):.4g}",
    "trial_s": power(0.01, 3),
    "minutes": power(0.1, 60),
    "pulses": whole(1, 5),
    "at_once": whole(1, 8),
    "power": lambda rng: f"{rng.uniform(0.1, 0.99):.3g}",
    "fano": power(0.1, 5),
    "interval_s": power(0.05, 2, 0.3),
    "trials": whole(1, 300),
    "per_trial": whole(1, 4),
    "jitter_s": power(0.01, 0.5, 0.3),
    "sham_fraction": lambda rng: f"{rng.uniform(0, 1):.3g}",
    "seconds": power(1, 60),
    "run": whole(1, 3),
    "truth": among("stim.npz", "simulated"),
    "selected_neuron": whole(1, 8),
    "units": whole(1, 12),
    "bins": whole(10, 3000),
    "rate_hz": power(0.5, 100),
    "history_bins": whole(1, 12),
    "basis": among("raw", "raised-cosine:3", "raised-cosine-linear:2", "b-spline:4", "raised-cosine:20"),
    "covariates": among("auto", "none", "velocity"),
    "leads": among("0", "-1:2", "0:2;1:2", "3"),
    "reach": among("own=3", "own=2,other=1", "M1-PMv=2"),
    "link": among("exponential", "softplus"),
    "ridge": power(1e-7, 1e-1, 0.3),
    "smooth": power(1e-7, 1e-1, 0.5),
    "lasso": power(1e-6, 1e-1, 0.5),
    "group_lasso": power(1e-6, 1e-1, 0.5),
    "refractory_bins": whole(1, 3),
    "standard_errors": among("auto", "none", "exact", "sampled"),
    "test_fraction": lambda rng: f"{rng.uniform(0, 0.9):.3g}",
    "family": among("poisson", "bernoulli", "negative-binomial", "gaussian"),
    "rank": whole(1, 3),
    "level": lambda rng: f"{rng.uniform(0.01, 0.2):.3g}",
    "values": among("1e-4,1e-2", "1e-3"),
    "folds": whole(2, 4),
    "columns": among("0,1", "0", "1,0"),
    "velocity_unit": among("m/s", "cm/s", "dm/s", "mm/s"),
    "kinds": among("filters", "matrix,network", "areas", "ks", "tuning", "ks,filters"),
    "fix": among("a1=0", "eps=0.1", "b=1", "tau_s=0.02"),
    "refractory_s": power(1e-4, 1e-2, 0.5),
    "segment": whole(1, 3),
    "tick_s": power(1e-5, 1e-3),
    "seed": whole(1, 10**6),
    "a": power(1e-3, 1, 0.5),
    "names": among("E,I", "E", "a,b,c"),
    "vary": among("b[0,0]", "current", "b", "delay[0,1]"),
    "over": among("1:3", "0:2", "3:1"),
    "inhibition": power(0.5, 20),
    "prefix": among("p_"),
    "folder": among("."),
    "out": among("out.npz"),
    "picture": among("p.png"),
    "plot": among("p.png"),
    "network": NETWORK,
    "data": DATA,
    "fit_file": among("fit.npz", "fit_areas.npz"),
    "fit": among("fit.npz", "fit_areas.npz", "fit_pilot.npz"),
    "pilot": among("data.npz", "clamped.npz"),
    "schedule": among("schedule.npz", "plan.npz"),
    "spikes": among("spikes.gdf", "data.npz"),
    "file": among("run.npz"),
}
SPECIAL = {
    "fokker-planck coupled": {"b": matrix},
    "fokker-planck study": {"b": among("0:3:4", "1", "0.5,1.5"), "refractory": among("0", "0,0.1")},
    "fokker-planck calm": {"coupling": power(1e-2, 3)},
    "fokker-planck elapsed": {
        "initial": among("exponential:1", "exponential:0.1", "exponential:20"),
        "rule": among("nearest", "lowest", "highest"),
    },
    "fokker-planck polarise": {
        "initial": among("exponential:1", "exponential:0.1", "exponential:5"),
        "duration": power(1e-2, 0.4),
        "cells": whole(40, 80),
    },
    "fokker-planck wilson-cowan": {"rule": among("decay", "product"), "duration": power(0.1, 20)},
    "fokker-planck fit": {
        "data": among("array.npz", "data.npz"),
        "bin_s": power(5e-4, 5e-3),
        "seconds": power(0.5, 3),
        "units": among("1,2"),
    },
    "fokker-planck plot": {
        "out": among("p.png"),
        "kind": among("run", "decay", "bifurcation", "calm", "learning", "nothing"),
    },
    "networks study": {"count": whole(1, 4)},
    "perturb schedule": {"units": among("0,1,2", "5", "a,b", "1-4")},
    "perturb fit": {"data": among("clamped.npz", "stim.npz")},
    "perturb judge": {"data": among("stim.npz"), "fit": among("fit_pilot.npz"), "schedule": among("plan.npz")},
    "perturb instrument": {"data": among("lots.npz", "data.npz")},
    "perturb compare": {"steps": among("100,200", "50")},
    "glm bin": {"units": among("1", "1,2", "0"), "bin_s": power(1e-3, 0.1)},
}


def leaves(group: click.Group, path: tuple[str, ...]):
    """Yield every command with its path."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = [leaf for name, group in GROUPS.items() for leaf in leaves(group, (name,))]


def name_of(parameter: click.Parameter) -> str:
    """Return the name that a person types."""
    return parameter.opts[0].lstrip("-").replace("-", "_")


def kind_of(parameter: click.Parameter) -> str:
    if isinstance(parameter.type, click.Path):
        return "path"
    return parameter.type.name.split(" ")[0] if parameter.type.name.split(" ")[0] in ("integer", "float") else "text"


def drawn(rng, path: str, parameter: click.Parameter, hostile: bool) -> str:
    """Return a value for one parameter."""
    if hostile:
        return str(rng.choice(np.array(HOSTILE[kind_of(parameter)], dtype=object)))
    if isinstance(parameter.type, click.Choice):
        return str(rng.choice(parameter.type.choices))
    typed = name_of(parameter)
    special = next((t[typed] for prefix, t in SPECIAL.items() if path.startswith(prefix) and typed in t), None)
    return (special or SENSIBLE[typed])(rng)


def call(rng) -> list[str]:
    """Return one random command line, without ``bmi``."""
    weights = np.array([0.25 if " ".join(path) in RARE else 1.0 for path, _ in COMMANDS])
    path, command = COMMANDS[int(rng.choice(len(COMMANDS), p=weights / weights.sum()))]
    name = " ".join(path)
    usable = [p for p in command.params if name_of(p) not in NEVER and not getattr(p, "is_flag", False)]
    chosen = [
        p for p in usable if p.required or rng.random() < (0.75 if isinstance(p, click.Argument) else SHARE_GIVEN)
    ]
    for wanted in (
        "duration",
        "cells",
        "steps",
        "bins",
        "seconds",
        "size",
        "tolerance",
        "strength_max",
        "count",
        "points",
    ):
        chosen += [p for p in usable if name_of(p) == wanted and p not in chosen]  # the defaults of these take long
    enemy = rng.choice(len(chosen)) if chosen and rng.random() < 0.35 else -1
    options, arguments = [], []
    for k, parameter in enumerate(chosen):
        value = drawn(rng, name, parameter, k == enemy)
        if isinstance(parameter, click.Argument):
            arguments.append((command.params.index(parameter), value))
        else:
            options.append(f"{parameter.opts[0]}={value}")
    words = [value for _, value in sorted(arguments)]
    return [*path, *options, *(["--json"] if rng.random() < 0.6 else []), "--", *words]


SHARE_GIVEN = 0.35


def prepare() -> None:
    """Write the files that the calls read into the working directory."""
    rng = np.random.default_rng(0)
    run = CliRunner().invoke

    def made(group, *arguments):
        done = run(group, list(arguments))
        assert done.exit_code == 0, (arguments, done.output, done.exception)

    for name, more in {
        "net.npz": ["--size=20"],
        "big.npz": ["--size=120", "--inhibitory-fraction=0.2"],
        "saturated.npz": ["--size=12", "--strength-uv-per-hz=5000", "--probability=0.8"],
    }.items():
        made(networks, "make", name, *more)
    np.savez("zero.npz", weights=np.zeros((4, 4)), external_mv=-50.0)
    np.savez("one.npz", weights=np.ones((1, 1)), external_mv=-50.0)
    counts = rng.poisson(0.1, (3000, 4))
    velocity = rng.normal(size=(3000, 2))
    np.savez("data.npz", counts=counts, bin_s=0.01, velocity=velocity)
    np.savez("areas.npz", counts=counts, bin_s=0.01, covariates=velocity, areas=np.array(["M1", "M1", "PMv", "PMv"]))
    np.savez("binary.npz", counts=np.minimum(counts, 1), bin_s=0.002)
    np.savez("silent.npz", counts=counts * np.array([1, 0, 1, 0]), bin_s=0.01, velocity=0 * velocity)
    np.savez("wide.npz", counts=rng.poisson(20, (60, 7)), bin_s=0.5, velocity=velocity[:60])
    np.savez("array.npz", counts=rng.random((4000, 6)) < 0.04, bin_s=1e-3)
    np.savez("lots.npz", counts=counts, bin_s=0.01, trial_start=np.arange(0, 2900, 100), target=np.arange(29) % 8)
    np.savez(
        "nan.npz", weights=np.full((3, 3), np.nan), counts=np.full((9, 3), np.nan), bin_s=np.nan, external_mv=np.nan
    )
    np.savez("other.npz", something=np.arange(3))
    with open("text.npz", "w") as text, open("empty.npz", "w"), open("spikes.gdf", "w") as spikes:
        text.write("no archive")
        spikes.writelines(f"{rng.integers(1, 4)} {t}\n" for t in np.sort(rng.integers(0, 60_000, 3000)))
    made(glm, "fit", "data.npz", "--history-bins=4", "--out=fit.npz")
    made(glm, "fit", "areas.npz", "--history-bins=6", "--basis=raised-cosine:3", "--ridge=1e-3", "--out=fit_areas.npz")
    made(perturb, "simulate", "--neurons=12", "--steps=600", "--out=clamped.npz")
    made(perturb, "spikes", "--seed=3", "--units=8", "--hidden=2", "--seconds=300", "--out=pilot.npz")
    made(glm, "fit", "pilot.npz", "--history-bins=10", "--basis=raised-cosine:5", "--standard-errors=sampled",
         "--out=fit_pilot.npz")  # fmt: skip
    made(perturb, "plan", "fit_pilot.npz", "--minutes=1", "--out=plan.npz")
    made(perturb, "schedule", "--units=0,1,2", "--trials=40", "--out=schedule.npz")
    made(
        perturb,
        "spikes",
        "--seed=3",
        "--run=1",
        "--units=8",
        "--hidden=2",
        "--seconds=70",
        "--schedule=plan.npz",
        "--out=stim.npz",
    )
    made(fokker_planck, "run", "--b=0.5", "--duration=0.2", "--cells=80", "--snapshots=3", "--out=run.npz")


class TimeUp(BaseException):
    """A call took too long."""


def _stop(_, frame):
    """Stop the call, but not while it compiles a kernel or imports a module, which would leave half of one behind."""
    while frame is not None:
        if f"{os.sep}numba{os.sep}" in frame.f_code.co_filename or "importlib" in frame.f_code.co_filename:
            signal.setitimer(signal.ITIMER_REAL, 1)
            return
        frame = frame.f_back
    raise TimeUp


@contextlib.contextmanager
def limits():
    """Bound the address space; long calls are stopped by an alarm."""
    before, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGALRM, _stop)
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, before[1]))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGALRM, handler)


def fault(arguments: list[str]) -> tuple[str, str]:
    """Run one command; return what kind of end it had and, if that is a fault, which."""
    try:
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            done = CliRunner().invoke(GROUPS[arguments[0]], arguments[1:])
        signal.setitimer(signal.ITIMER_REAL, 0)
    except TimeUp:
        return "long", ""
    error = done.exception
    if isinstance(error, MemoryError):  # `bmi` itself says so in one sentence
        return "memory", ""
    if error is not None and not isinstance(error, BmiError | SystemExit):
        return "fault", repr(error)
    if isinstance(error, BmiError):
        text = str(error)
        return "refused", text if len(text) < 12 or "\n" in text or "Error(" in text or "object at 0x" in text else ""
    if done.exit_code != 0:
        return "usage", ""
    if "--json" in arguments:
        try:
            json.loads(done.stdout.splitlines()[-1], parse_constant=lambda name: pytest.fail(name))
        except (ValueError, IndexError) as wrong:
            return "fault", f"no JSON: {wrong}"
    elif re.search(r"(?<![\w-])[-+]?(nan|inf)(?![\w:-])", done.output):
        return "answered", f"not a number in: {next(x for x in done.output.splitlines() if re.search('nan|inf', x))}"
    return "answered", ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("random_commands")
    with contextlib.chdir(made):
        prepare()
    return made


@pytest.mark.slow
@pytest.mark.timeout(14400)
@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_command_line_ends_without_a_sentence(block, folder, monkeypatch):
    monkeypatch.chdir(folder)
    rng = np.random.default_rng([SEED, block])
    ends, faults = {}, []
    with limits():
        for _ in range(CALLS // BLOCKS):
            arguments = call(rng)
            end, wrong = fault(arguments)
            ends[end] = ends.get(end, 0) + 1
            if wrong:
                faults.append(f"{' '.join(arguments)}: {wrong}")
                print(faults[-1], flush=True)
    print(ends)
    assert faults == []
    assert ends["answered"] > 0.3 * sum(ends.values())  # most sets that are not hostile are answered


def test_every_option_has_a_sensible_value():
    """A new option must be named here, or it is never tried."""
    missing = {
        f"{' '.join(path)} {name_of(p)}"
        for path, command in COMMANDS
        for p in command.params
        if name_of(p) not in NEVER and not getattr(p, "is_flag", False) and not isinstance(p.type, click.Choice)
        and name_of(p) not in SENSIBLE
        and not any(name_of(p) in t for key, t in SPECIAL.items() if " ".join(path).startswith(key))
    }  # fmt: skip
    assert not missing
