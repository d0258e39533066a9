"""What stands where in arrays that kernels read by position: by name here, so that a field moved by one is noticed."""

import dataclasses

from bmi_runtime import config as configuration
from bmi_runtime.calibration.monitor import Limits, Monitor
from bmi_runtime.encoding.model import untrained_model
from bmi_runtime.kernels import encoding_mc, monitoring
from bmi_runtime.messages import Bin, output_dtype
from bmi_runtime.session.core import Session

SETTING_OF = {
    "memories": monitoring.MEMORIES,
    "innovation_z": monitoring.Z_SQUARES,
    "innovation_excess": monitoring.RATIO_SQUARES,
    "drift_z": monitoring.Z_DRIFT,
    "drift_ratio": monitoring.RATIO_DRIFT,
    "silence": monitoring.SILENT,
    "flat": monitoring.FLAT,
    "ease": monitoring.EASE,
    "worth": monitoring.WORTH,
}


def test_every_limit_stands_where_the_kernel_reads_it():
    given = {field.name: 100.0 + number for number, field in enumerate(dataclasses.fields(Limits))}
    monitor = Monitor(4, 3, "poisson", 0.005, limits=Limits(**given))
    assert set(given) == set(SETTING_OF)
    assert {name: monitor._settings[place] for name, place in SETTING_OF.items()} == given
    assert len(monitor._settings) == monitoring.N_SETTINGS


def test_the_columns_of_the_monitors_state_follow_each_other_without_overlap():
    d = monitoring.REGRESSORS
    assert monitoring.ERROR_COV + d * (d + 1) // 2 == monitoring.CROSS
    assert monitoring.CROSS + d * d == monitoring.TRACE
    assert monitoring.TRACE + d == monitoring.SEEN
    statistics = (
        "SEEN", "SQUARES", "PREDICTED", "SPREAD", "EXCESS", "EXPECTED", "EXCESS_SPREAD", "SILENCE", "SHORT",
    )  # fmt: skip
    places = [getattr(monitoring, name) for name in statistics]
    assert places == list(range(monitoring.SEEN, monitoring.N_STATE))


def test_every_setting_of_the_monte_carlo_has_a_place_of_its_own():
    words = "AIM_KEEP AIM_PULL DECODER_KEEP DECODER_NOISE TRUST BOX LARGEST_SPEED MAX_COUNT OPEN"
    places = [getattr(encoding_mc, word) for word in words.split()]
    assert sorted(places) == list(range(encoding_mc.N_SETTINGS))


def test_the_output_of_a_step_holds_each_value_under_its_name():
    config = configuration.load(None, ["session.units=6", "task.assist=0.25", "adapter.learning_rate=3e-6"])
    session, empty = Session(config, untrained_model(config)), Bin(*config.layout)
    for _ in range(3):
        session.step(empty.bytes)
    out, task = session.record.output, session.task
    assert out.cursor.tolist() == session.cursor and tuple(out.target.tolist()) == tuple(task.target)
    assert out.decoded.tolist() == session.decoder.state.tolist()
    assert out.decoded_variance.tolist() == session.decoder.variance.tolist()
    said = {
        "assist": 0.25, "learning_rate": 3e-6, "trial": task.trial, "successes": task.successes,
        "timeouts": task.timeouts, "trial_state": int(task.trial_state), "safety": int(session.safety.state),
        "adapting": 1, "stimulated": 0, "hold_fraction": task.hold_fraction,
    }  # fmt: skip
    known = {name: getattr(out, name).item() for name in said}
    assert known == said
    assert set(said) < set(output_dtype(config.space).names)
