"""Perturbation data in files: read, fitted (block by block where it can be), written, described."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from bmi_runtime.analysis.npz import read_npz
from bmi_runtime.analysis.perturbation import effects as effects_module
from bmi_runtime.analysis.perturbation import observational, planning, simulate
from bmi_runtime.errors import BadInput
from bmi_runtime.outputs import npz_path, write_npz

TABLES = {
    "assignments": "samples x neurons",
    "outcomes": "samples x neurons",
    "treatments": "samples x neurons",
    "connectivity": "targets x sources",
}


@dataclasses.dataclass
class Fit:
    """The effects estimated from a file, the instrumental estimate if treatments were given, the truth if it is
    known.
    """

    effects: effects_module.Effects
    samples: int
    wald: observational.WaldEstimate | None = None
    truth: np.ndarray | None = None
    constant: np.ndarray | None = None  # targets whose outcome never changed: no test is possible

    def correlation_with_truth(self) -> float:
        """Return the correlation of the estimates with the true connectivity (row = target in the file)."""
        if self.truth is None:
            raise BadInput("the file holds no connectivity to compare the estimates with")
        return effects_module.agreement(self.truth.T, self.effects.estimate)

    def largest(self, named: np.ndarray, count: int = 5) -> list[dict]:
        """Return the strongest effects among those `named`."""
        strength = np.where(named, np.abs(self.effects.estimate), -1.0)
        order = np.argsort(strength, axis=None)[::-1][: min(count, int(named.sum()))]
        places = [np.unravel_index(k, named.shape) for k in order]
        keys = ("estimate", "low", "high")
        return [
            {"source": int(i), "target": int(j)} | {key: float(getattr(self.effects, key)[i, j]) for key in keys}
            for i, j in places
        ]


def read_arrays(path) -> dict[str, np.ndarray]:
    """Return the arrays of an ``.npz``, of a recording (``.mcap``), or of a folder of ``.npy`` files (mapped).

    Raises
    ------
    BadInput
        When an entry is not a plain array.
    """
    path = pathlib.Path(path)
    if path.suffix == ".mcap":
        from bmi_runtime.analysis.perturbation.recorded import recorded_trials
        from bmi_runtime.recording.reader import Recording

        return recorded_trials(Recording(path))
    if not path.is_dir():
        return read_npz(path)
    try:
        return {file.stem: np.load(file, mmap_mode="r", allow_pickle=False) for file in sorted(path.glob("*.npy"))}
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} holds a file that is not a plain array ({error})") from None


def _check_table(table: np.ndarray | None, name: str, path) -> None:
    """Raise BadInput when `table`, which the file calls `name`, is there but no table of numbers."""
    if table is None:
        return
    if table.ndim != 2 or table.dtype.kind not in "biuf":
        raise BadInput(f"{name} in {path} must be numbers, {TABLES[name]}, not {table.dtype} {table.shape}")
    if table.shape[1] == 0:
        raise BadInput(f"{name} in {path} has no columns: it holds {TABLES[name]}")


def fit_file(path, confidence: float, permutations: int, rng: np.random.Generator) -> Fit:
    """Estimate the effects in the file or folder `path` (see ``bmi perturb fit --help`` for what it holds).

    Raises
    ------
    BadInput
        When an array is missing or has another shape, or no outcome changes.
    """
    data = read_arrays(path)
    for name in ("assignments", "outcomes"):
        if name not in data:
            raise BadInput(f"{path} lacks {name} (samples x neurons); it holds {', '.join(sorted(data)) or 'nothing'}")
    for name in TABLES:
        _check_table(data.get(name), name, path)
    assignments, outcomes = data["assignments"], data["outcomes"]
    sums = effects_module.EffectAccumulator(assignments.shape[1], outcomes.shape[1])
    sums.update(assignments, outcomes)
    effects = sums.result(confidence)
    if permutations:
        effects.p_values = effects_module.permutation_p_values(assignments, outcomes, rng, permutations)
    wald = None
    if "treatments" in data:
        wald = observational.wald(assignments, data["treatments"], outcomes, confidence)
    constant = np.flatnonzero(np.isnan(effects.p_values).all(axis=0))
    if constant.size == outcomes.shape[1]:
        raise BadInput(f"no outcome in {path} ever changes, so nothing can be estimated from it")
    truth = data.get("connectivity")
    if truth is not None and truth.shape != effects.estimate.T.shape:
        raise BadInput(
            f"connectivity in {path} has shape {truth.shape}; targets x sources is {effects.estimate.T.shape}"
        )
    if truth is not None and not np.isfinite(truth).all():
        raise BadInput(f"connectivity in {path} holds {int((~np.isfinite(truth)).sum())} values that are not finite")
    return Fit(effects, len(outcomes), wald, truth, constant)


def save_fit(path, found: Fit, named: np.ndarray) -> None:
    """Write the estimates to an ``.npz`` file, (sources, targets) each, and the true connectivity, (targets, sources),
    when it is known.
    """
    content: dict[str, Any] = {
        key: value for key, value in vars(found.effects).items() if isinstance(value, np.ndarray)
    }
    if found.wald is not None:
        content |= {f"wald_{key}": value for key, value in vars(found.wald).items()}
    if found.truth is not None:
        content["connectivity"] = found.truth
    write_npz(npz_path(path), samples=found.samples, discoveries=named, **content)


def read_fit(path) -> dict[str, np.ndarray]:
    """Return the arrays of a fit, as :func:`save_fit` wrote them, or raise BadInput when `path` holds none."""
    data = read_npz(path)
    missing = [name for name in ("estimate", "standard_error", "ones", "zeros") if name not in data]
    if missing:
        raise BadInput(f"{path} is not a fit of `bmi perturb fit --out` (it lacks {', '.join(missing)})")
    return data


def describe(result: dict) -> str:
    """Return a fit's result as text for a person."""
    lines = [
        f"{result['sources']} sources, {result['targets']} targets, {result['samples']:,} samples",
        f"{result['discoveries']} effects at a false-discovery rate of {result['fdr']:g}; "
        f"median standard error {result['median_standard_error']:.3g}",
    ]
    for one in result["largest"]:
        between = f"between {one['low']:+.4g} and {one['high']:+.4g}"
        lines.append(f"  {one['source']} -> {one['target']}: {one['estimate']:+.4g} ({between})")
    if "correlation_with_truth" in result:
        lines.append(f"correlation with the true connections: {result['correlation_with_truth']:.5f}")
    if len(result["constant_targets"]):
        lines.append(f"the outcome of these targets never changes: {', '.join(map(str, result['constant_targets']))}")
    for group in result["clamped_together"]:
        named = ", ".join(map(str, group))
        lines.append(f"sources {named} were never clamped apart: whose effect it is cannot be told")
    if len(result.get("weak_instruments", ())):
        weak = ", ".join(map(str, result["weak_instruments"]))
        lines.append(f"stimulation hardly moves these sources, so their effect per spike is unreliable: {weak}")
    return "\n".join(lines)


def assumed_system(neurons: int, probability: float, seed: int) -> planning.System:
    """Return what planning needs for a random sigmoid system."""
    return planning.system_of_model(simulate.random_connectivity(neurons, np.random.default_rng(seed), probability))


def pilot_system(path) -> planning.System:
    """Return what planning needs from a pilot's fit, as `save_fit` wrote it."""
    data = read_fit(path)
    samples = float(np.mean(data["ones"] + data["zeros"]))
    return planning.system_of_pilot(data["estimate"], data["standard_error"], samples)
