"""``bmi stability``: has the array changed since the reference days, without labels."""

import math
from pathlib import Path

import click

from bmi_runtime.cli.common import answer, answer_options
from bmi_runtime.errors import BadInput
from bmi_runtime.outputs import check_writable, write_npz


@click.command()
@click.argument("sessions", metavar="REF... TODAY", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--seconds", type=float, default=0.0, metavar="S", help="Only the first S seconds of today.")
@click.option("--all-units", is_flag=True, help="List every unit, not only those that changed.")
@click.option("--write-model", type=click.Path(path_type=Path), metavar="FILE.npz",
              help="The reference's model, units that do today what others did in each other's places.")  # fmt: skip
@answer_options
def stability(sessions, seconds, all_units, write_model, as_json):
    """Has the array changed since the reference sessions? Needs no targets and no kinematics.

    The last file is today's, those before it are the reference. A score of one is what an unchanged array scores.
    """
    from bmi_runtime.analysis.array_verdict import judge, moved_model

    if len(sessions) < 2:
        raise BadInput("give at least one reference session and today's: bmi stability REF.mcap TODAY.mcap")
    if not 0 <= seconds < math.inf:
        raise BadInput(f"--seconds {seconds:g}: give a positive number, or leave it out")
    if write_model:
        check_writable(write_model)
    result = judge(sessions, seconds)
    if write_model:
        write_npz(write_model, **moved_model(sessions, result["moved_units"]).arrays())
        result["model"] = str(write_model)
    answer(result, as_json, _text(result, all_units))


def _text(result: dict, all_units: bool) -> str:
    from bmi_runtime.analysis.array_verdict import sentence
    from bmi_runtime.analysis.stability import CHANGED_P

    lines = [
        sentence(result),
        f"score {result['score']:.2f}; reference blocks of {result['block_s']:.3g} s score "
        f"{min(result['null']):.2f} to {max(result['null']):.2f} against one another (p = {result['p']:.2g})",
    ]
    if result["p"] < CHANGED_P:
        lines.append(f"{100 * max(result['kept_share'], 0.0):.0f} % of the reference's tuning is left")
    if result["expected_error_ratio"] is not None:
        ratio = f"{result['expected_error_ratio']:.2g}"
        lines.append(f"the reference's weights are expected to decode with {ratio} times their error of those days")
    if result["adapt_s"] is not None:
        lines.append(
            f"adapting at the session's learning rate removes 95 % of a change in about {result['adapt_s']:.2g} s"
        )
    if result["moved_units"]:
        pairs = [f"{unit} what {like} did" for unit, like in result["moved_units"].items()]
        lines.append(
            f"units that do what others did: {', '.join(pairs[:8])}{', ...' if len(pairs) > 8 else ''}; in their "
            f"places the score is {result['score_in_their_places']:.2f} (--write-model FILE.npz)"
        )
    for what in ("new", "gone"):
        names = result[f"{what}_units"]
        if names:
            lines.append(f"{len(names)} units are {what}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}")
    moved = [unit for unit in result["units"] if unit["verdict"] != "as before"]
    lines.append(f"{len(moved)} of {len(result['units'])} units are not what they were")
    for unit in result["units"] if all_units else sorted(moved, key=lambda u: -u["deviation"])[:12]:
        how_far = f"rate x {unit['rate_ratio']:.2f}, deviation {unit['deviation']:.1f}"
        lines.append(f"  {unit['unit']}: {unit['verdict']}, {how_far}")
    return "\n".join(lines)
