"""What a block does to its session: it sets live parameters as commands do, and gives way to the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bmi_runtime.errors import BadInput
from bmi_runtime.session.blocks import Blocks
from bmi_runtime.session.live_parameters import LIVE_PARAMETERS

if TYPE_CHECKING:
    from bmi_runtime.session.core import Session


def begin(session: Session, blocks: Blocks, number: int, why: str) -> list[dict[str, Any]]:
    """Let a block begin with the next bin; a trial under way is given up. Returns the events."""
    first, task = not blocks.scores, session.goal.task
    blocks.begin(number, session.bins, task.successes, task.timeouts, why)
    changed, refused = _set_all(session, blocks.settings())
    if not first and "task.kind" not in changed:
        session.goal.task.begin()
    session.goal.offer_candidates()
    score = blocks.scores[-1]
    event = {"name": "block", "block": number, "kind": score.kind, "title": score.name, "first_bin": session.bins}
    before = blocks.scores[-2].facts() if len(blocks.scores) > 1 else None
    events: list[dict[str, Any]] = [{**event, "why": why, "settings": changed, "before": before}]
    return events + [{"name": "block-setting-refused", "set": key, "error": text} for key, text in refused.items()]


def _set_all(session: Session, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Set live parameters; return those that changed, and why others were refused."""
    changed, refused = {}, {}
    for key, value in wanted.items():
        parameter = LIVE_PARAMETERS[key]
        if parameter.get(session) == value:
            continue
        try:
            parameter.commit(session, parameter.prepare(session, value))
            changed[key] = value
        except BadInput as error:
            refused[key] = str(error)
    return changed, refused


def after_bin(session: Session, blocks: Blocks, moved: bool) -> None:
    """Count the bin in its block; let the next one begin when it is over, and the session end after the last."""
    task = session.goal.task
    why = blocks.after_bin(moved, task.successes, task.timeouts)
    if not why or blocks.over:
        return
    if blocks.number < len(blocks.sections):
        session.begin_block(blocks.number + 1, why)
    else:
        blocks.over, blocks.scores[-1].ended = True, why
        session.events.append({"name": "blocks-done", "blocks": len(blocks.sections), "why": why})
