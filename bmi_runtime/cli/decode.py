"""``bmi decode``: stream an open-loop recording, adapt on its first part, decode the rest beside static baselines."""

import click

from bmi_runtime.cli.common import answer, answer_options, progress, say


@click.command()
@click.argument("data", type=click.Path())
@click.argument("data_test", type=click.Path(), required=False)
@click.option(
    "--train-fraction", type=float, default=0.8, show_default=True, help="First part of the bins, learned from."
)
@answer_options
def decode(data, data_test, train_fraction, as_json):
    """Decode the hand from recorded spike counts.

    DATA is a .npz (counts, bin_s, velocity and/or position, optionally trial_start) or a .mat file of a known layout.
    DATA_TEST is a second file that is decoded after all of DATA was learned from; a known training file finds its own.
    """
    from bmi_runtime.decoding import baselines
    from bmi_runtime.decoding.history import HistoryDecoder
    from bmi_runtime.decoding.openloop import decode_recording, scores
    from bmi_runtime.sources.datafile import load_recording

    recording = load_recording(data, data_test)
    bins_train = recording.split(train_fraction)
    say(
        f"{recording.name}: {recording.n_units} units, {recording.n_bins} bins of {1e3 * recording.bin_s:g} ms; "
        f"learning from {bins_train}, decoding {recording.n_bins - bins_train}",
        as_json,
    )
    decoder = HistoryDecoder(recording.n_units, recording.bin_s, recording.position is not None)
    with progress("decoding", recording.n_bins) as advance:
        result = decode_recording(
            decoder,
            iter(recording.counts),
            recording.kinematics,
            recording.trial_start,
            recording.restart,
            bins_train,
            advance,
        )
    answers = {"adaptive": scores(recording, result.states, bins_train)}
    with progress("baselines", 2) as advance:
        for name, function in (("ridge", baselines.ridge_states), ("kalman", baselines.kalman_states)):
            answers[name] = scores(recording, function(recording, bins_train), bins_train)
            advance()
    report = {
        **answers["adaptive"],
        "bins_train": bins_train,
        "bins_test": recording.n_bins - bins_train,
        "realtime_factor": recording.n_bins * recording.bin_s / result.seconds,
        "slowest_bin_ms": 1e3 * result.slowest_bin_s,
        "velocity_unit": recording.velocity_unit,
        "position_unit": recording.position_unit
        if recording.position is not None
        else "displacement since a trial start",
        "baselines": {name: answers[name] for name in ("ridge", "kalman")},
    }
    answer(report, as_json, _table(answers, report))


def _table(answers, report) -> str:
    """Return the answer for people: held-out R2 of the three decoders, per dimension."""
    labels = {"adaptive": "adaptive (ours)", "ridge": "ridge, 10 bins", "kalman": "Kalman"}
    head = f"{'held-out R2':<17}{'velocity x':>12}{'y':>8}{'position x':>13}{'y':>8}"
    lines = [head, "-" * len(head)]
    for name, label in labels.items():
        (vx, vy), (px, py) = answers[name]["r2_velocity"], answers[name]["r2_position"]
        lines.append(f"{label:<17}{vx:>12.3f}{vy:>8.3f}{px:>13.3f}{py:>8.3f}")
    lines.append(
        f"learned from {report['bins_train']} bins, decoded {report['bins_test']}; "
        f"{report['realtime_factor']:.0f} times faster than real time"
    )
    return "\n".join(lines)
