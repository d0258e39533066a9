"""``bmi decode``: stream an open-loop recording, adapt on its first part, decode the rest beside static baselines."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # a second thread makes matrices of this size slower, not faster

import click  # noqa: E402

from bmi_runtime.cli.common import answer, answer_options, progress, say  # noqa: E402

LABELS = {
    "best": "best (ours)",
    "taught": "best, taught",
    "recurrent": "recurrent",
    "joined": "joined",
    "history": "adaptive history",
    "ridge": "ridge, 10 bins",
    "kalman": "Kalman",
}

PER_AXIS = ("r2_velocity", "r2_position", "r2_velocity_taught", "r2_validation", "residual_sd", "predicted_excess_sd")


@click.command()
@click.argument("data", type=click.Path())
@click.argument("data_test", type=click.Path(), required=False)
@click.option(
    "--train-fraction", type=float, default=0.8, show_default=True, help="First part of the bins, learned from."
)
@click.option(
    "--direct", is_flag=True, help="Hand the bins over in memory in place of ZeroMQ; the numbers are the same."
)
@click.option("--teach-delay", "teach_delay_s", type=float, metavar="S",
              help="Go on teaching through the test part, each bin S seconds after it was decoded.")  # fmt: skip
@click.option("--search-rate", is_flag=True,
              help="With --teach-delay: find the rate while it is taught, from the calculated one on.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="Of the networks' training.")
@click.option("--mapping", type=click.Path(), help="A TOML file that says what is what in the file.")
@answer_options
def decode(data, data_test, train_fraction, direct, teach_delay_s, search_rate, seed, mapping, as_json):
    """Decode the hand from recorded spike counts.

    DATA is a .npz (counts, bin_s, velocity and/or position, optionally trial_start), a .mat file of a known layout or
    with a mapping, an NWB file with units and a velocity or position, or an acquisition system's file whose mapping
    names the analog channels. DATA_TEST is a second file that is decoded after all of DATA was learned from; a known
    training file finds its own.

    The counts go bin by bin over a ZeroMQ socket into the live loop. Kinematics travel with the training part only.
    """
    import numpy as np

    from bmi_runtime.decoding.offline_session import scores
    from bmi_runtime.errors import BadInput
    from bmi_runtime.sources.datafile import load_recording
    from bmi_runtime.sources.oddities import of_bins
    from bmi_runtime.sources.open_loop import check_decodable

    recording = load_recording(data, data_test, mapping)
    teach_delay = _delay_bins(teach_delay_s, recording.bin_s)
    if search_rate and not teach_delay:
        raise BadInput("--search-rate finds the rate of a read-out that is taught: give --teach-delay S as well")
    bins_train = recording.split(train_fraction)
    odd = of_bins(recording)
    for sentence in odd:
        say(f"odd: {sentence}", as_json)
    recording, rests = recording.to_learn(bins_train).moving_in(bins_train)
    if rests:
        rest = "rests" if len(rests) == 1 else "rest"
        odd.append(f"{' and '.join(rests)} {rest} in the whole training part: neither learned nor decoded")
        say(f"odd: {odd[-1]}", as_json)
    train = slice(0, bins_train)
    check_decodable(recording.name, recording.counts[train], recording.velocity[train], " of the training part")
    say(
        f"{recording.described}; learning from {bins_train} bins, decoding {recording.n_bins - bins_train}",
        as_json,
    )
    decoder, states, timing = _stream(recording, bins_train, direct, seed, (teach_delay, search_rate), as_json)
    answers = {"best": scores(recording, states, bins_train)}
    for name, said in decoder.answers.items():
        if name == "taught" and not teach_delay:
            continue
        answers[name] = scores(recording, np.array(said), bins_train)
    taught = _taught(decoder, answers, recording, bins_train, teach_delay) if teach_delay else {}
    answers |= _baselines(recording, bins_train, as_json)
    report = {
        **answers["best"],
        "bins_train": bins_train,
        "bins_test": recording.n_bins - bins_train,
        **timing,
        "axes": list(recording.axes),
        "velocity_unit": recording.velocity_unit,
        "position_unit": recording.position_unit if recording.position is not None else "displacement since a start",
        **taught,
        "decoders": {name: answers[name] for name in ("recurrent", "joined", "history")},
        "joined_share": decoder.share,
        "short_history_share": decoder.networks.share,
        "r2_validation": decoder.joined.validation.r2_velocity,
        "baselines": {name: answers[name] for name in ("ridge", "kalman")},
        "odd": odd,
    }
    table = _table(answers, report)
    answer(_of_given_axes(report, recording), as_json, table)


def _of_given_axes(report, recording):
    """Return the report with a value for every axis of the file: none for one in which nothing moves."""
    if recording.axes == recording.given_axes:
        return report

    def spread(found):
        if isinstance(found, dict):
            return {
                name: spread(one) if name in PER_AXIS or isinstance(one, dict) else one for name, one in found.items()
            }
        values = dict(zip(recording.axes, found, strict=True))
        return [values.get(axis) for axis in recording.given_axes]

    return spread(report) | {"axes": list(recording.given_axes)}


def _baselines(recording, bins_train, as_json):
    """Return the scores of the static baselines; one that cannot be fitted is said, and leaves its row empty."""
    import numpy as np

    from bmi_runtime.decoding import baselines
    from bmi_runtime.decoding.offline_session import scores

    answers = {}
    with progress("baselines", 2) as advance:
        for name, function in (("ridge", baselines.ridge_states), ("kalman", baselines.kalman_states)):
            try:
                answers[name] = scores(recording, function(recording, bins_train), bins_train)
            except (np.linalg.LinAlgError, ArithmeticError, ValueError) as error:
                say(f"{LABELS[name]} cannot be fitted to this recording ({error})", as_json)
                nothing = np.full((recording.n_bins, 2 * recording.n_axes), np.nan)
                answers[name] = scores(recording, nothing, bins_train)
            advance()
    return answers


def _delay_bins(teach_delay_s, bin_s) -> int:
    """Return how many bins late the teacher is; 0 for none."""
    import math

    from bmi_runtime.errors import BadInput

    if teach_delay_s is None:
        return 0
    if not (math.isfinite(teach_delay_s) and teach_delay_s >= bin_s):
        raise BadInput(
            f"--teach-delay is {teach_delay_s:g} s; give at least a bin ({bin_s:g} s): a loop cannot know sooner"
        )
    return max(1, round(teach_delay_s / bin_s))


def _taught(decoder, answers, recording, bins_train, delay):
    """Return what teaching through the test part changed, and at which rate."""
    import numpy as np

    bins = recording.n_bins - bins_train
    plan, rate = decoder.plan, decoder.calculated_rate
    spread = decoder.recurrent.spread[decoder.recurrent.moving]
    report = {
        "r2_velocity_taught": answers["taught"]["r2_velocity"],
        "learning_rate": rate,
        "teach_delay_s": delay * recording.bin_s,
        "residual_sd": np.sqrt(plan.pilot.noise) * spread,
    }
    if decoder.search:
        report["learning_rate_found"] = decoder.readout.rate
    if rate > 0.0:
        from bmi_runtime.calibration.readout import steady

        state = steady(plan.pilot, rate)
        report |= {
            "predicted_excess_sd": np.sqrt(state.excess) * spread,
            "overdispersion": float(state.overdispersion.mean()),
            "convergence_s": state.convergence_bins() * recording.bin_s,
            "half_life_s": float(np.log(2.0) / -np.log1p(-np.median(state.gain)) * recording.bin_s),
            "test_bins": bins,
        }
    return report


def _stream(recording, bins_train, direct, seed, taught, as_json):
    """Return the decoder, the decoded states, and how long it took."""
    import time

    from bmi_runtime.decoding.combined import CombinedDecoder
    from bmi_runtime.decoding.history import HistoryDecoder
    from bmi_runtime.decoding.offline_session import OpenLoopSession, open_loop_config

    teach_delay, search_rate = taught
    history = HistoryDecoder(recording.n_units, recording.bin_s, recording.position is not None, recording.n_axes)
    decoder = CombinedDecoder(history, recording.bin_s, seed=seed, tell=lambda text: say(text, as_json),
                              searches_rate=search_rate)  # fmt: skip
    config = open_loop_config(recording)
    session = OpenLoopSession(config, decoder, recording.trial_start, recording.restart, bins_train, teach_delay)
    decoder.warm_up()
    started, busy = time.perf_counter(), time.process_time()
    with progress("decoding", recording.n_bins) as advance:
        latency = _hand_over(session, recording, advance) if direct else _over_zeromq(session, recording, advance)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    timing = {
        "realtime_factor": recording.n_bins * recording.bin_s / seconds,
        "cpu_seconds": busy,
        "latency_us": latency,
        "source": "memory" if direct else "zeromq",
    }
    return decoder, session.states, timing


def _hand_over(session, recording, advance):
    import numpy as np

    from bmi_runtime.sources.replayed_file import shown_kinematics

    shown = shown_kinematics(recording.kinematics, session.bins_train, session.teach_delay)
    nothing = np.full(recording.kinematics.shape[1], np.nan)
    for index, counts in enumerate(recording.counts):
        known = shown(index)
        session.advance(counts, nothing if known is None else known)
        advance()


def _over_zeromq(session, recording, advance):
    """Run the live loop on what a second thread sends over a socket; every bin arrives, or the run fails."""
    from bmi_runtime.errors import BmiError
    from bmi_runtime.session.loop import Loop
    from bmi_runtime.sources.replayed_file import FileSender
    from bmi_runtime.sources.zeromq import ZeroMQSource

    late = session.teach_delay
    with FileSender(recording, session.bins_train, session.config.continuous, teach_delay=late) as sender:
        source_part = session.config.source.model_copy(update={"address": sender.address})
        session.config = session.config.model_copy(update={"source": source_part})
        source = ZeroMQSource(session.config)
        source.open()
        try:
            loop = Loop(session, source, speed="max", on_bin=lambda _: advance())
            loop.run()
        finally:
            source.close()
    if session.bins != recording.n_bins:
        raise BmiError(f"{session.bins} of {recording.n_bins} bins came over {sender.address}")
    return loop.tally.latency.summary()


def _table(answers, report) -> str:
    """Return the answer for people: held-out R2 of the three decoders, per dimension."""
    first, *rest = report["axes"]
    more = "".join(f"{name:>8.7}" for name in rest)
    head = f"{'held-out R2':<17}{f'velocity {first:.7}':>17}{more}{f'position {first:.7}':>18}{more}"
    lines = [head, "-" * len(head)]
    for name, label in LABELS.items():
        if name not in answers:
            continue
        (first, *others), (start, *further) = answers[name]["r2_velocity"], answers[name]["r2_position"]
        velocities, positions = ("".join(f"{value:>8.3f}" for value in row) for row in (others, further))
        lines.append(f"{label:<17}{first:>17.3f}{velocities}{start:>18.3f}{positions}")
    lines.append(
        f"learned from {report['bins_train']} bins, decoded {report['bins_test']}; "
        f"{report['realtime_factor']:.0f} times faster than real time"
    )
    return "\n".join(lines)
