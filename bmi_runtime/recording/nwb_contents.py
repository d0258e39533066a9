"""The parts of an NWB file, made from a recording: behaviour, activity, clocks, trials, events and the model."""

from __future__ import annotations

import copy
import datetime
import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from bmi_runtime.constants import USUAL_BIN_S
from bmi_runtime.encoding.regressors import Regressors
from bmi_runtime.messages import PLANE
from bmi_runtime.recording.device_events import device_events
from bmi_runtime.recording.nwb_data import SpikeTimes, compressed
from bmi_runtime.recording.reader import Recording
from bmi_runtime.recording.trials import is_whole_trial

MOST_SPATIAL_AXES = 3  # of a SpatialSeries, by the standard
SUBJECT_KEYS = ("subject_id", "species", "sex", "age")
SESSION_KEYS = ("experimenter", "lab", "institution", "notes")


class FileContents:
    """Gathers the parts of one NWB file."""

    def __init__(self, recording: Recording, subject: dict[str, Any], folder: Path):
        self.recording, self.space, self.folder = recording, recording.space, folder
        self.config = recording.header.get("config", {})
        self.metadata = {**(self.config.get("metadata") or {}), **subject}
        times = recording.column("input", "device_time_s")
        likelihood = self.config.get("session", {}).get("likelihood")
        self.bin_s = (
            self.config.get("session", {}).get("bin_s")
            or USUAL_BIN_S["gaussian" if likelihood == "gaussian" else "poisson"]
        )
        self.times_s = times - (times[0] - self.bin_s)  # end of each bin; the first bin begins at 0
        self.regular = len(times) < 2 or np.allclose(np.diff(self.times_s), self.bin_s, rtol=0, atol=1e-9)
        self.counted: dict[str, Any] = {"bins": recording.n_steps, "spikes": None, "trials": 0, "events": 0}

    @property
    def _names(self) -> str:
        return ", ".join(self.space.kinematics)

    def build(self) -> Any:
        """Return the NWBFile."""
        nwb = self._file()
        self._behaviour(nwb)
        self._neural(nwb)
        self._timing(nwb)
        self._trials_and_events(nwb)
        self._device_events(nwb)
        self._model(nwb)
        return nwb

    def _file(self) -> Any:
        from pynwb import NWBFile
        from pynwb.file import Subject

        header = self.recording.header
        created_ns = header.get("recording_format", {}).get("created_unix_ns", 0)
        simulated = self.config.get("source", {}).get("kind") == "simulated"
        about = {"configuration": self.config, "provenance": header.get("provenance"), "parent": header.get("parent")}
        made_from = json.dumps(about, default=str, ensure_ascii=False)
        given = {key: self.metadata[key] for key in SESSION_KEYS if self.metadata.get(key)}
        what = "Closed-loop brain-machine-interface session" + (" (simulated)" if simulated else "")
        nwb = NWBFile(
            session_description=self.metadata.get("session_description") or what,
            identifier=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{created_ns}-{self.recording.path.name}")),
            session_start_time=datetime.datetime.fromtimestamp(created_ns / 1e9, datetime.UTC),
            experiment_description=f"Task {self.config.get('task', {}).get('kind')}, decoder "
            f"{self.config.get('decoder', {}).get('kind')}, adaptive encoding model",
            session_id=self.recording.path.stem,
            data_collection=made_from,
            source_script=f"bmi-runtime {(header.get('provenance') or {}).get('code_version', '')}",
            source_script_file_name="bmi export",
            **{"notes": made_from, **given},
        )
        known = {key: self.metadata[key] for key in SUBJECT_KEYS if self.metadata.get(key)}
        if known:
            nwb.subject = Subject(**known)
        return nwb

    def _when(self) -> dict[str, Any]:
        if self.regular:
            return {"starting_time": float(self.times_s[0]), "rate": 1.0 / self.bin_s}
        return {"timestamps": self.times_s}

    def _series(self, name: str, part: str, field: str, unit: str, about: str, columns=slice(None)) -> Any:
        from pynwb import TimeSeries

        data = self._data(part, field, columns)
        return TimeSeries(name=name, data=data, unit=unit, description=about, **self._when())

    def _data(self, part: str, field: str, columns: slice = slice(None)) -> Any:
        """Return some columns of a field of every step, read as they are written."""
        recording, field_dtype = self.recording, self.recording.dtype[part][field]
        width = len(range(*columns.indices(field_dtype.shape[0]))) if field_dtype.shape else None

        def read(start: int, stop: int) -> np.ndarray:
            data = recording.column(part, field, start, stop)
            recording.release()
            return np.ascontiguousarray(data if width is None else data[:, columns])

        shape = (recording.n_steps,) if width is None else (recording.n_steps, width)
        return compressed(read, shape, field_dtype.base)

    def _behaviour(self, nwb: Any) -> None:
        from pynwb.behavior import BehavioralTimeSeries, Position

        module = nwb.create_processing_module("behavior", "Cursor, target, decoded and intended movement")
        spatial, axes = self.space.n_axes <= MOST_SPATIAL_AXES, ", ".join(self.space.axes)
        position = Position(name="Position") if spatial else BehavioralTimeSeries(name="Position")
        plane = "x to the right, y up" if self.space.axes == PLANE.axes else f"columns are {axes}"
        frame = f"origin at the centre of the workspace, {plane}"
        for name, field, about in (
            ("cursor", "cursor", "cursor on the subject's screen, after assist"),
            ("decoded", "decoded", "decoded position"),
            ("target", "target", "centre of the target"),
        ):
            data = self._data("output", field, slice(0, self.space.n_axes))
            known = {"name": name, "data": data, "unit": self._unit("meters"), "description": about, **self._when()}
            if spatial:
                position.create_spatial_series(reference_frame=frame, **known)
            else:
                position.create_timeseries(comments=frame, **known)
        module.add(position)
        velocity = slice(self.space.n_axes, 2 * self.space.n_axes)
        for name, field, columns, about in (
            ("decoded_velocity", "decoded", velocity, f"decoded velocity, {', '.join(self.space.axes)}"),
            ("cursor_velocity", "cursor", velocity, "velocity of the cursor, after assist"),
            ("intended_velocity", "intended", slice(None), "velocity that the subject was taken to intend"),
        ):
            module.add(self._series(name, "output", field, self._unit("m/s", "/s"), about, columns))
        if any(np.isfinite(block["input"]["kinematics"]).any() for block in self.recording.blocks()):
            unit = f"{self._unit('m')}, {self._unit('m/s', '/s')}"
            module.add(self._series("recorded_kinematics", "input", "kinematics", unit, f"{self._names} as recorded"))
        about_variance = f"variance of decoded {self._names}"
        for name, unit, about in (
            ("trial_state", "code", "0 reach, 1 hold, 2 success, 3 timeout, 4 pause"),
            ("safety", "code", "0 starting, 1 calibrating, 2 active, 3 degraded, 4 frozen, 5 stopped"),
            ("assist", "fraction", "blend of the command toward the inferred intention"),
            ("learning_rate", "1/bin", "learning rate of the encoding model, velocity in dm/s"),
            ("decoded_variance", f"{self._unit('m^2', '^2')}, {self._unit('(m/s)^2', '^2/s^2')}", about_variance),
        ):
            module.add(self._series(name, "output", name, unit, about))

    def _unit(self, metres: str, per: str = "") -> str:
        """Return the unit of the axes (`metres` where they are), one for all or one for each."""
        units = [f"{unit}{per}" for unit in self.space.units]
        if set(self.space.units) == {"m"}:
            return metres
        return units[0] if len(set(units)) == 1 else ", ".join(units)

    def _neural(self, nwb: Any) -> None:
        continuous = self.recording.continuous
        module = nwb.create_processing_module("ecephys", "Binned activity as it was decoded")
        name, about = (
            ("features", "features per bin and unit") if continuous else ("binned_counts", "spikes per bin and unit")
        )
        module.add(self._series(name, "input", "counts", "a.u." if continuous else "count", about))
        if self.recording.n_features:
            about = "continuous features beside the units; NaN in bins in which none came"
            module.add(self._series("features", "input", "features", "a.u.", about))
        if not continuous:
            nwb.units = self._units()

    def _units(self) -> Any:
        """Return the table of units, its spike times as one array (a list of them takes forty times the memory)."""
        from pynwb.core import VectorData, VectorIndex
        from pynwb.misc import Units

        number = self.recording.n_units
        spikes = SpikeTimes(self.recording, self.times_s, self.bin_s, self.folder)
        ends, self.counted["spikes"] = spikes.stops, int(spikes.stops[-1])
        watched = np.tile([0.0, float(self.times_s[-1])], (number, 1))
        columns: list[Any] = []
        for name, text, data, stops in (
            ("spike_times", "the spike times for each unit in seconds", spikes.dataset(), ends),
            ("obs_intervals", "the observation intervals for each unit", watched, np.arange(1, number + 1)),
        ):
            column = VectorData(name=name, description=text, data=data)
            # hdmf finds a target that is read as it is written only when its index stands before it
            columns += [VectorIndex(name=f"{name}_index", target=column, data=stops), column]
        about = "column of the unit in binned_counts"
        columns.append(VectorData(name="unit_index", description=about, data=np.arange(number)))
        names = ["spike_times", "obs_intervals", "unit_index"]
        text = "units; spike times from the bins that held them"
        return Units(name="units", description=text, columns=columns, colnames=names, resolution=self.bin_s)

    def _timing(self, nwb: Any) -> None:
        module = nwb.create_processing_module(
            "misc", "Clocks and gaps bin by bin, events, history of the encoding model"
        )
        for name, unit, about in (
            ("host_time_ns", "ns", "host monotonic clock when the bin closed"),
            ("device_time_s", "s", "acquisition clock at the end of the bin, as it was"),
            ("clock_offset_s", "s", "fitted host minus device time"),
            ("clock_uncertainty_s", "s", "uncertainty of that offset"),
            ("data_age_s", "s", "age of the data when they were decoded"),
            ("gap_bins", "bins", "bins lost just before"),
            ("late", "count", "late spikes"),
            ("duplicates", "count", "duplicates"),
            ("invalid", "count", "refused counts or features"),
            ("stale", "bins", "bins since the source last delivered"),
        ):
            module.add(self._series(name, "input", name, unit, about))

    def _trials_and_events(self, nwb: Any) -> None:
        events = [message for _, message in self.recording.messages("event")]
        events += [{"name": "command", **message} for _, message in self.recording.messages("command")]
        events.sort(key=lambda message: message.get("bin", 0))
        axes = self.space.axes
        for name, about in (("result", "success or timeout"), *((f"target_{a}_m", f"target {a}") for a in axes)):
            nwb.add_trial_column(name, about)
        others = []
        for event in events:
            stop = float(self.times_s[self.recording.place(event.get("bin", 0))])
            if not is_whole_trial(event, len(axes)):
                others.append((stop, int(event.get("bin", 0)), event["name"], _detail(event)))
                continue
            target = {f"target_{name}_m": value for name, value in zip(axes, event["target_m"], strict=True)}
            start = max(stop - event["time_to_target_s"], 0.0)
            nwb.add_trial(start_time=start, stop_time=stop, result=event["result"], **target)
            self.counted["trials"] += 1
        if not self.counted["trials"]:
            target = {f"target_{name}_m": np.nan for name in axes}
            nwb.add_trial(start_time=0.0, stop_time=float(self.times_s[-1]), result="none", **target)
        if others:
            texts = ("s, device clock", "bin", "what happened", "key: value; each value as JSON")
            names = ("time_s", "bin", "event", "detail")
            columns = {key: (text, list(values)) for key, text, values in zip(names, texts, zip(*others), strict=True)}
            nwb.processing["misc"].add(_table("events", "What happened, and what the operator did", columns))
        self.counted["events"] = len(others)

    def _device_events(self, nwb: Any) -> None:
        """Write what the device's lines and markers did, at its own times, on the file's clock."""
        rows = device_events(self.recording)
        if not rows:
            return
        base = float(self.recording.column("input", "device_time_s", 0, 1)[0]) - self.bin_s
        about = {
            "time_s": "s, device clock, as everywhere in this file",
            "kind": "ttl, digital-input, marker, comment",
            "device_time_s": "s, as stamped",
            "host_time_s": "s, monotonic clock of the recording machine, by the fit of the clocks",
            "uncertainty_s": "s, standard error of that fit",
            "detail": "key: value; each value as JSON",
        }
        columns: dict[str, tuple[str, Any]] = {
            name: (text, [row[name] for row in rows]) for name, text in about.items()
        }
        columns["time_s"] = (about["time_s"], [row["time_s"] - base for row in rows])
        nwb.processing["misc"].add(_table("device_events", "Lines, digital inputs and markers of the device", columns))

    def _model(self, nwb: Any) -> None:
        snapshots = []
        for _, snapshot in self.recording.messages("snapshot"):  # of a whole state only the model is kept
            model = snapshot["model"]
            kept = {name: model[name] for name in ("weights", "covariance", "features") if name in model}
            snapshots.append({"bins": snapshot["bins"], "model": copy.deepcopy(kept)})
        if not snapshots:
            return
        ends = np.concatenate([[0.0], self.times_s])
        done = np.array([int(snapshot["bins"]) for snapshot in snapshots]) - self.recording.first_bin
        columns: dict[str, tuple[str, Any]] = {"time_s": ("s, device clock", ends[np.clip(done, 0, len(ends) - 1)])}
        section = self.config.get("encoding", {})
        kinds = Regressors(
            self.space.n_axes, tuple(section.get("regressors", ("velocity",))), tuple(section.get("history_s", ()))
        )
        labels = ", ".join(["1", *kinds.labels(self.space)[1:]])
        for name, about in (
            ("weights", f"regressors ({labels}) x units; log Hz (features: a.u.) and per dm/s, dm or spike"),
            ("covariance", "pairs (lower triangle of each unit's covariance) x units"),
        ):
            columns[name] = (about, np.array([snapshot["model"][name] for snapshot in snapshots]))
            if "features" in snapshots[0]["model"]:
                values = np.array([snapshot["model"]["features"][name] for snapshot in snapshots])
                columns[f"feature_{name}"] = (f"the same of the features: {about}", values)
        nwb.processing["misc"].add(_table("encoding_model", "The encoding model at each snapshot", columns))


def _detail(event: dict[str, Any]) -> str:
    rest = {key: value for key, value in event.items() if key not in ("name", "bin")}
    return "; ".join(f"{key}: {json.dumps(value, default=str)}" for key, value in rest.items()) or "-"


def _table(name: str, about: str, columns: dict[str, tuple[str, Any]]) -> Any:
    from hdmf.common import DynamicTable, VectorData

    made = [VectorData(name=key, description=text, data=data) for key, (text, data) in columns.items()]
    return DynamicTable(name=name, description=about, columns=made)
