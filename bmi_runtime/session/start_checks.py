"""What a session is begun with: whether model and configuration belong together, and what else they name."""

from __future__ import annotations

from typing import Any

from bmi_runtime.config import Config
from bmi_runtime.encoding.identity import carry
from bmi_runtime.encoding.model import EncodingModel, untrained_model
from bmi_runtime.encoding.regressors import Regressors
from bmi_runtime.errors import BadInput
from bmi_runtime.recording.model_file import load_model


def check_model(config: Config, model: EncodingModel) -> None:
    """Refuse an encoding model that is not of this configuration.

    Raises
    ------
    BadInput
        Naming what differs: units, likelihood, axes, regressors or features.
    """
    space = config.space
    if model.n_units != config.session.units or model.likelihood != config.session.likelihood:
        raise BadInput(
            f"the encoding model has {model.n_units} {model.likelihood} units, the configuration asks for "
            f"{config.session.units} {config.session.likelihood} (session.units, session.likelihood)"
        )
    if model.n_axes != space.n_axes:
        raise BadInput(
            f"the encoding model is of {model.n_axes} axes, the brain state has {space.n_axes}: "
            f"{', '.join(space.axes)} (state.axes)"
        )
    wanted = Regressors.of(config)
    if model.regressors != wanted and (model.regressors.names != wanted.names or "history" in wanted.names):
        raise BadInput(
            f"the encoding model depends on {', '.join(model.regressors.names)}, the configuration asks for "
            f"{', '.join(config.encoding.regressors)} (encoding.regressors)"
        )
    if bool(model.features) != bool(config.session.features):
        raise BadInput("an encoding model of features and session.features go together")


def stimulation_schedule(config: Config) -> Any:
    """Return the drawn schedule of stimulation, or None when there is none.

    Raises
    ------
    BadInput
        When it names a unit that the session does not have.
    """
    section = config.stimulation
    if not section.enabled:
        return None
    from bmi_runtime.analysis.perturbation.schedule import StimulationDesign

    if max(section.units, default=0) >= config.session.units:
        raise BadInput(f"stimulation.units names unit {max(section.units)}, there are {config.session.units} (from 0)")
    design = section.model_dump(exclude={"enabled"})
    design |= {"per_trial": section.per_trial or None, "participation": section.participation or None}
    return StimulationDesign(**design).draw()


def stimulation_due(design: Any, bin_number: int, bin_s: float) -> list[dict[str, Any]]:
    """Return the events of the stimulation trials whose onset falls into a bin."""
    start_s = bin_number * bin_s
    return [{"name": "stimulation", **event} for event in design.events_between(start_s, start_s + bin_s)]


def frozen_copy(path: str, config: Config, model: EncodingModel) -> EncodingModel:
    """Return the model of a file for the units of this session, to decode with and never to be adapted.

    Raises
    ------
    BadInput
        When it does not fit; units that nobody named are matched by their order, so there must be as many of them.
    """
    found = load_model(path)
    unnamed = found.names == tuple(f"unit {unit}" for unit in range(found.n_units))
    if unnamed and found.n_units != model.n_units:
        raise BadInput(
            f"{path} is a model of {found.n_units} units without names, this session has {model.n_units}: which is "
            "which cannot be known (decoder.frozen_model; name them with session.unit_names)"
        )
    fresh = untrained_model(config).named(model.names, config.state.axes)
    carry(found, fresh, 0.0, path)
    return fresh
