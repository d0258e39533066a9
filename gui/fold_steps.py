"""Steps, the model and the health of the loop, folded into the store's fixed memory. No Qt here."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bmi_runtime.messages import StateSpace, step_dtype
from gui.rows import rows_of
from gui.steady_state_error import dense, steady_error_variance

if TYPE_CHECKING:
    from gui.store import Store


def take_step(store: Store, message: dict[str, Any]) -> None:
    """Take the newest step, and those that came with it."""
    counts = message["counts"]
    if len(counts) != store.n_units:
        store.resize(len(counts))
    step = _decoded_step(store, message["step"])
    if step is None:
        return
    if "past_steps" in message:
        _take_past_steps(store, message)
    store.step, store.bin = step, int(message["bin"])
    _note_faults(store, step["input"])
    _append_row(store, step)
    _append_column(store, counts, message["bins"], store.elapsed_s)


def _take_past_steps(store: Store, message: dict[str, Any]) -> None:
    """Take the pictures of a replay that came in one message with the newest one."""
    dtype = _step_dtype(store.n_units, store.continuous, store.space, store.n_features)
    steps, times_s = np.frombuffer(message["past_steps"], dtype), np.asarray(message["past_at"]) * store.bin_s
    if len(steps) != len(times_s):
        raise ValueError(f"{len(steps)} steps for {len(times_s)} times")
    for row in rows_of(steps, times_s, store.steps.view.dtype):
        store.steps.append(row)
    stops = message["past_at"][-len(message["past_bins"]) :]
    for counts, bins, stop in zip(message["past_counts"], message["past_bins"], stops, strict=True):
        _append_column(store, counts, bins, float(stop) * store.bin_s)


def _append_column(store: Store, counts, bins: int, end_s: float) -> None:
    store.raster.append(counts)
    store.column_bins.append(bins)
    store.column_ends_s.append(end_s)


def _decoded_step(store: Store, data: bytes) -> np.void | None:
    for continuous in (store.continuous, not store.continuous):
        dtype = _step_dtype(store.n_units, continuous, store.space, store.n_features)
        if dtype.itemsize == len(data):
            store.continuous = continuous
            return np.frombuffer(data, dtype)[0]
    store.problem(
        f"a step of {len(data)} bytes is not a step of {store.n_units} units; runtime and window differ in version"
    )
    return None


def _note_faults(store: Store, given: np.void) -> None:
    for name in ("gap_bins", "late", "duplicates", "invalid"):
        store.faults[name] += int(given[name])
    store.faults["stale"] = int(given["stale"])


def _append_row(store: Store, step: np.void) -> None:
    _follow_path(store, step["output"])
    store.steps.append(rows_of(np.array([step]), store.elapsed_s, store.steps.view.dtype)[0])


def _follow_path(store: Store, out: np.void) -> None:
    here = tuple(out["cursor"][: store.space.n_axes].tolist())
    if len(store.steps) == 0 or store.path.start is None or store.steps.view[-1]["trial"] != out["trial"]:
        store.path.start, store.path.length_m = here, 0.0
    else:
        before = store.steps.view[-1]["cursor"]
        store.path.length_m += math.dist(here, before[: len(here)])


def take_model(store: Store, message: dict[str, Any]) -> None:
    """Take the encoding model, and put it into its history."""
    weights = np.asarray(message["weights"], np.float64)
    if weights.shape[1] != store.n_units:
        store.resize(weights.shape[1])
    store.weights, store.sd = weights, _standard_deviations(store, message, len(weights))
    store.predicted_sd = message.get("predicted_sd")
    store.noise_variance = message.get("noise_variance")
    truth = message.get("truth")
    store.truth = np.asarray(truth, np.float64) if truth is not None and np.isfinite(truth).all() else None
    _note_not_finite(store)
    truth = store.truth if store.truth is not None else np.full_like(weights, np.nan)
    predicted = store.predicted_sd if store.predicted_sd is not None else _closed_form_sd(store)
    row = np.stack([weights, store.sd, truth, predicted]).astype(np.float32)
    if store.model_rows.view.shape[1:] != row.shape:
        store.make_room_for_models(row.shape)
    time_s = int(message["bin"]) * store.bin_s
    if len(store.model_times_s) and store.model_times_s.view[-1] == time_s:
        store.model_rows.replace_last(row)  # a replay that stands still tells its model again and again
        return
    store.model_rows.append(row)
    store.model_times_s.append(time_s)


def _standard_deviations(store: Store, message: dict[str, Any], n_rows: int) -> np.ndarray:
    """Return what the message says of the parameters' spread; a packed covariance is kept as well."""
    sd = message.get("sd")
    if sd is None:
        store.covariance = message["covariance"]
        diagonal = [row * (row + 3) // 2 for row in range(n_rows)]
        sd = np.sqrt(np.maximum(store.covariance[diagonal], 0.0))
    return np.asarray(sd, np.float64)


def _note_not_finite(store: Store) -> None:
    store.not_finite = int(np.sum(~np.isfinite(store.weights)) + np.sum(~np.isfinite(store.sd)))
    if store.not_finite:
        store.problem(f"{store.not_finite} parameters of the encoding model are not finite; they are left out of plots")


def _closed_form_sd(store: Store) -> np.ndarray:
    """Return the error that the closed form predicts in the steady state, where the runtime does not say."""
    unknown = np.full_like(store.weights, np.nan)
    if store.covariance is None or store.step is None:
        return unknown
    rate = float(store.step["output"]["learning_rate"])
    return np.sqrt(steady_error_variance(dense(store.covariance, len(unknown)), rate)).T


def take_health(store: Store, message: dict[str, Any]) -> None:
    """Take the loop's own account of its latency."""
    store.health = message
    latency = message.get("latency_us") or {}
    row = [latency.get("p50"), latency.get("p99"), message.get("deadline_misses")]
    store.health_rows.append([message["bin"] * store.bin_s, *(math.nan if v is None else v for v in row)])


@functools.lru_cache(maxsize=8)
def _step_dtype(n_units: int, continuous: bool, space: StateSpace, n_features: int) -> np.dtype:
    return step_dtype(n_units, continuous, space, n_features)
