"""A session made of formulas alone, so that pictures of it depend on the window and on nothing of the runtime."""

import numpy as np

from bmi_runtime.messages import STAGES, WIRE_VERSION, pack, step_dtype

UNITS, BIN_S, EVERY = 48, 0.005, 3
TASK = {"workspace_m": 0.2, "distance_m": 0.1, "target_radius_m": 0.017, "targets": 8, "kind": "centre-out"}


def truth():
    direction = 2 * np.pi * np.arange(UNITS) / UNITS
    return np.stack([np.full(UNITS, 2.3), 0.7 * np.cos(direction), 0.7 * np.sin(direction)])


def model(t_s):
    """The model after t seconds: errors and covariance shrink exponentially."""
    left = np.exp(-t_s / 8.0)
    sign = np.where(np.arange(UNITS) % 2, 1.0, -1.0)
    weights = truth() + left * 0.4 * sign * np.array([[1.0], [0.6], [-0.8]])
    sd = 0.05 + 0.4 * left
    covariance = np.zeros((6, UNITS))
    covariance[[0, 2, 5]] = sd * sd
    return {
        "weights": weights,
        "covariance": covariance,
        "noise_variance": np.ones(UNITS),
        "predicted_sd": np.full((3, UNITS), 0.7 * sd),
        "truth": truth(),
    }


def step(index):
    """Message number `index`: a cursor on its way to one of eight targets, one target a second."""
    t_s = index * EVERY * BIN_S
    trial, phase = int(t_s), t_s % 1.0
    angle = 2 * np.pi * (trial % 8) / 8
    reach = min(phase / 0.7, 1.0)
    speed = 0.2 * np.sin(np.pi * reach) if reach < 1 else 0.0
    target = 0.1 * np.array([np.cos(angle), np.sin(angle)])
    record = np.zeros(1, step_dtype(UNITS, False))
    out, timing = record["output"][0], record["timing"][0]
    out["cursor"][:2], out["target"] = reach * target, (*target, 0.017)
    out["intended"] = speed * target / 0.1
    out["decoded"][2:] = out["intended"] + 0.02 * np.array([np.sin(9 * t_s), np.cos(7 * t_s)])
    out["hold_fraction"], out["trial_state"] = (max(phase - 0.7, 0) / 0.3, 1) if reach >= 1 else (0.0, 0)
    out["learning_rate"], out["adapting"], out["safety"] = 1e-6, 1, 2
    out["trial"], out["successes"] = trial, trial
    timing["stage_ns"] = 1000 * np.arange(4, 4 + len(STAGES)) * (3 + index % 5)
    rate = np.exp(np.array([1.0, *(10 * out["intended"])]) @ truth()) * EVERY * BIN_S
    counts = np.floor(rate + (np.arange(UNITS) * 0.618 + index * 0.377) % 1.0)
    return {"step": record.tobytes(), "counts": counts, "bins": EVERY}


def hello(seconds=12.0):
    """The answer of a runtime after so many seconds."""
    last = round(seconds / (EVERY * BIN_S))
    recent = [["step", pack({"v": WIRE_VERSION, "bin": i * EVERY, **step(i)})] for i in range(1, last + 1)]
    for trial in range(int(seconds)):
        angle = 2 * np.pi * (trial % 8) / 8
        event = {
            "name": "trial",
            "trial": trial,
            "result": "timeout" if trial % 6 == 5 else "success",
            "time_to_target_s": 0.8 + 0.1 * (trial % 3),
            "target_m": [0.1 * np.cos(angle), 0.1 * np.sin(angle)],
            "bin": round((trial + 1) / BIN_S) - 1,
        }
        at = round((trial + 1) / (EVERY * BIN_S)) + trial
        recent.insert(at, ["event", pack({"v": WIRE_VERSION, **event})])
    recent.append(["command", pack({"bin": 900, "set": "adapter.learning_rate", "old": 2e-6, "new": 1e-6})])
    recent.append(["event", pack({"bin": 1000, "name": "note", "note": "a note"})])
    times = np.arange(0.0, seconds, 0.5)
    past = [model(t) for t in times]
    history = {name: np.stack([m[name] for m in past]) for name in ("weights", "truth", "predicted_sd")}
    history["sd"] = np.stack([np.sqrt(m["covariance"][[0, 2, 5]]) for m in past])
    return {
        "config": {"session": {"units": UNITS, "likelihood": "poisson", "bin_s": BIN_S}, "task": TASK},
        "bin": last * EVERY,
        "simulated": True,
        "recording": "recordings/example.mcap",
        "model": model(seconds),
        "model_history": {"bins": np.round(times / BIN_S).astype(int), **history},
        "recent": recent,
        "health": {
            "bins": last * EVERY,
            "latency_us": {"p50": 40.0, "p99": 90.0, "p99_9": 130.0, "max": 410.0},
            "deadline_misses": 2,
        },
        "live_parameters": {
            "adapter.learning_rate": row("number", 1e-6, "per bin", 0.0, 1.0, "learning rate of every unit"),
            "adapter.enabled": row("switch", True, about="adaptation on or off"),
            "task.assist": row("number", 0.0, "", 0.0, 1.0, "blend toward the target"),
            "task.kind": {**row("choice", "centre-out"), "choices": ["centre-out", "random-target"]},
        },
        "catalogue": [CATALOGUE_ENTRY],
    }


def row(kind, value, unit="", low=0.0, high=1.0, about="what it is"):
    return {"kind": kind, "value": value, "unit": unit, "low": low, "high": high, "about": about, "choices": []}


CATALOGUE_ENTRY = {
    "path": "recordings/example.mcap", "modified_s": 0.0, "created_s": 0.0, "duration_s": 12.0, "units": UNITS,
    "source": "simulated", "decoder": "point-process", "learning_rate": [1e-6, 1e-6], "trials": 12,
    "success_rate": 10 / 12, "latency_p99_us": 90.0, "complete": True, "lost_bytes": 0,
}  # fmt: skip
