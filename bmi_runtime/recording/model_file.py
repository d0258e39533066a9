"""The encoding model in a file: a model's own ``.npz``, or the last one in a recording."""

from __future__ import annotations

import collections
import pathlib

from bmi_runtime import config as configuration
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput
from bmi_runtime.recording.reader import Recording


def load_model(path) -> EncodingModel:
    """Return the model in a ``.npz``, or the last one in a recording.

    Raises
    ------
    BadInput
        When the file is neither, or the recording holds no model.
    """
    return _of_recording(path) if pathlib.Path(path).suffix == ".mcap" else EncodingModel.load(path)


def _of_recording(path) -> EncodingModel:
    recording = Recording(path)
    data, last = recording.header.get("config"), None
    if recording.stream_counts.get("snapshot"):
        last = collections.deque(recording.messages("snapshot"), maxlen=1)[0][1]
    if not isinstance(data, dict) or last is None:
        raise BadInput(f"{path} holds no complete model: it ends before its first snapshot, or its header is damaged")
    config = configuration.from_dict(configuration.as_recorded(data), str(path))
    model = EncodingModel.of_state(last["model"], config)
    model.axes = config.state.axes
    names = recording.header.get("unit_names") or config.session.unit_names
    if names:
        model.names = tuple(names)
    return model
