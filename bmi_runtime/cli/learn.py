"""``bmi learn``: a process beside a session that refits a decoder from its recording and hands it over."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import click  # noqa: E402

from bmi_runtime.cli.common import answer, answer_options, say  # noqa: E402


@click.command()
@click.argument("recording", type=click.Path())
@click.option("--control", default="tcp://127.0.0.1:5582", show_default=True, help="Control address of the session.")
@click.option("--decoder", default="joined", show_default=True, help="What is fitted (joined, recurrent, ridge ...).")
@click.option("--every", "every_s", type=float, default=60.0, show_default=True, help="Seconds between refits.")
@click.option("--refits", type=int, default=0, help="Stop after so many.  [default: go on]")
@click.option("--dry-run", is_flag=True, help="Write the files, hand nothing over.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the training.")
@answer_options
def learn(recording, control, decoder, every_s, refits, dry_run, seed, as_json):
    r"""Refit a decoder to RECORDING while its session runs, and hand it over at a bin boundary.

    \b
    bmi run --record today.mcap --set task.assist=0.5 &
    bmi learn today.mcap --every 60

    The loop never waits for this process; if it is stopped or dies, the session goes on with the decoder that it has.
    Each file is written beside the recording (today.learned-001.npz), and what was handed over is in the recording.
    """
    import contextlib
    import math

    from bmi_runtime import registry
    from bmi_runtime.decoding.tables import FITTED
    from bmi_runtime.errors import BadInput
    from bmi_runtime.session.beside import stand_back
    from bmi_runtime.session.learner import Learner

    if decoder not in FITTED:
        raise registry.unknown("decoder", decoder, FITTED)
    if not (math.isfinite(every_s) and every_s >= 1.0) or refits < 0 or seed < 0:
        raise BadInput("--every takes seconds (1 or more), --refits and --seed numbers of 0 or more")
    stand_back()
    learner = Learner(recording, control, decoder, seed)
    handed: list[dict] = []
    with learner.heard() if not dry_run else contextlib.nullcontext():
        _refit(learner, recording, every_s, refits, dry_run, handed)
    answer({"refits": learner.refits, "decoders": handed}, as_json)


def _refit(learner, recording, every_s, refits, dry_run, handed):
    """Refit and hand over until it was done `refits` times (0: for good)."""
    import time

    from bmi_runtime.errors import BadInput, BmiError

    while not refits or learner.refits < refits:
        started = time.monotonic()
        try:
            path, bins = learner.refit(lambda text: say(text, True))
        except BadInput as error:
            if refits and not os.path.exists(recording):
                raise
            say(f"waiting: {error}", True)
        else:
            said = f"{path.name}: learned from {bins} bins in {time.monotonic() - started:.1f} s"
            at = None
            if not dry_run:
                try:
                    at = learner.hand_over(path).get("bin")
                    said += f", handed over at bin {at}"
                except BmiError as error:
                    raise BmiError(f"{said}; {error}") from None
            say(said, True)
            handed.append({"file": str(path), "bins": bins, "handed_over_at_bin": at})
        if not refits or learner.refits < refits:
            time.sleep(max(0.0, every_s - (time.monotonic() - started)))
