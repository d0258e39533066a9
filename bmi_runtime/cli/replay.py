"""``bmi replay``: a recording through the same step."""

import click

from bmi_runtime.cli.common import answer, answer_options, progress, say
from bmi_runtime.errors import CheckFailed


@click.command()
@click.argument("recording")
@click.option("--verify", is_flag=True, help="Exit with 3 at the first differing bit.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="What if: replay with another setting.")
@click.option("--from", "from_s", type=float, default=0.0, metavar="S", help="When the settings begin to hold.")
@answer_options
def replay(recording, verify, overrides, from_s, as_json):
    """Run a recording through the same step: verify it to the bit, or ask what another setting would have done."""
    from bmi_runtime.recording.reader import Recording
    from bmi_runtime.session.replay import Replay
    from bmi_runtime.session.replay_reasons import why_different

    player = Replay(Recording(recording), overrides, from_s)
    with progress("replay", player.recording.n_steps) as advance:
        result = player.run(verify, advance)
    unread = unread_middle(player.recording)
    if player.recording.damage:
        say(f"note: {recording} is damaged: {player.recording.damage[0].reason}; the replay ends there", as_json)
    if verify and not result["identical"] and not overrides:
        result |= {"why": why_different(player.recording, player, result["first_divergence"]["bin"])}
    if verify and unread and result["identical"]:
        result |= {"identical": False, "first_divergence": {"bin": result["bins"], "field": "damaged record"}}
    answer(result, as_json, describe(result, overrides))
    if verify and not result["identical"]:
        where = result["first_divergence"]
        said = f"the replay differs from the recording at bin {where['bin']}, field '{where['field']}'"
        raise CheckFailed(f"{said}; {why}" if (why := result.get("why")) else said)


def unread_middle(recording) -> bool:
    """Return whether damage hides more than a torn end: changed bytes, or whole steps behind the damage.

    A session that was killed leaves a torn end, and everything before it is verified. Bytes that changed later are
    a recording that cannot be vouched for.
    """
    from bmi_runtime.recording.reader import Recording

    if not recording.damage:
        return False
    if not recording.damage[0].reason.startswith("the file ends inside"):
        return True
    return Recording(recording.path, past_damage=True).n_steps > recording.n_steps


def describe(result: dict, overrides) -> str:
    """Return the outcome as a few lines for a person."""
    where = result["first_divergence"]
    same = (
        "identical to the bit"
        if result["identical"]
        else f"differs first at bin {where['bin']}, field '{where['field']}'"
    )
    speed = f"{result['bins']} bins at {result['realtime_factor']:.0f} times real time"
    lines = [f"{speed}: {same}", f"digest of the outputs: {result['output_digest']}"]
    return "\n".join(lines + _decoded(result.get("decoded"), overrides))


def _decoded(found: dict | None, overrides) -> list[str]:
    """Return what another setting decoded from the same spikes, in the lines of a table."""
    if found is None:
        return []
    if found["changed_m_s"] is None:
        return ["the recording holds no intention to compare with, so no error can be told"]
    from bmi_runtime.session.paired import where_it_arises

    name = ", ".join(overrides)
    width = max(len(name), len("error of the decoded velocity (cm/s rms)"))
    rows = [("as recorded", "recorded"), (name, "replayed")]
    lines = ["", f"{'error of the decoded velocity (cm/s rms)':{width}}  whole session  last half"]
    for label, which in rows:
        whole, half = (_hundredths(found[f"error_{which}{part}_m_s"]) for part in ("", "_last_half"))
        lines.append(f"{label:{width}}  {whole:>13}  {half:>9}")
    interval = found["interval_m_s"]
    between = f" (95 %: {100 * interval[0]:+.2f} to {100 * interval[1]:+.2f})" if interval else ""
    lines.append(f"{'difference':{width}}  {100 * found['difference_m_s']:+13.2f}{between}")
    apart = interval is not None and interval[0] * interval[1] > 0.0
    where = where_it_arises(found["parts"]) if apart else None
    lines += [where] if where else []
    changed = f"the two decode {100 * found['changed_m_s']:.2f} cm/s rms apart"
    lines.append(f"(against the recorded intention, which also teaches; {changed})")
    return lines + ([HARDLY_FOLLOWS] if found["hardly_follows"] else [])


HARDLY_FOLLOWS = (
    "decoded like this the cursor would hardly have followed: the subject would have seen and done something else, so "
    "a session with this setting goes otherwise than the number says; 'bmi rehearse' simulates it"
)


def _hundredths(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
