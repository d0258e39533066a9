"""Writing a rate into every form a configuration can take, and refusing what cannot be changed safely."""

import json
import tomllib

import pytest
from click.testing import CliRunner

from bmi_runtime import config
from bmi_runtime.calibration.config_update import LARGEST_RATE, write_settings
from bmi_runtime.cli.calibrate import calibrate
from bmi_runtime.cli.run import run
from bmi_runtime.errors import BadInput


@pytest.mark.parametrize(
    "text",
    [
        "",
        "title = 1",
        "[adapter]\nenabled = true\n",
        "[ adapter ]  # filter\n\tlearning_rate=3\n[task]\nlearning_rate = 7\n",
        "adapter.learning_rate = 1e-9 # old\nadapter.enabled = false\n",
        "[task]\nkind = 'x'\n[adapter]\n'learning_rate' = 1\n",
        '[adapter]\nnote = "learning_rate = 4"\n',
    ],
)
def test_one_key_changes_and_nothing_else(tmp_path, text):
    path = tmp_path / "c.toml"
    path.write_text(text)
    write_settings(path, {"adapter.learning_rate": (2.5e-5, "for a test")})
    write_settings(path, {"adapter.learning_rate": (1.5e-5, "for a\nsecond test")})
    before, after = tomllib.loads(text), tomllib.loads(path.read_text())
    assert after["adapter"].pop("learning_rate") == 1.5e-5
    before.setdefault("adapter", {}).pop("learning_rate", None)
    assert after == before
    assert path.read_text().count("# calculated by bmi calibrate: for a second test") == 1


def test_windows_line_ends_stay(tmp_path):
    path = tmp_path / "c.toml"
    path.write_bytes(b"[adapter]\r\nlearning_rate = 1\r\n")
    write_settings(path, {"adapter.learning_rate": (0.5, "x")})
    assert path.read_bytes() == b"[adapter]\r\n# calculated by bmi calibrate: x\r\nlearning_rate = 0.5\r\n"


@pytest.mark.parametrize("text", ["adapter = {learning_rate = 1}\n", 'x = """\n[adapter]\n"""\n'])
def test_forms_that_are_refused_stay_untouched(tmp_path, text):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match="cannot be changed safely"):
        write_settings(path, {"adapter.learning_rate": (0.5, "x")})
    assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


def test_missing_or_broken_files(tmp_path):
    with pytest.raises(BadInput, match="there is no configuration"):
        write_settings(tmp_path / "no.toml", {"adapter.learning_rate": (0.5, "x")})
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(BadInput, match="nothing was written"):
        write_settings(tmp_path / "bad.toml", {"adapter.learning_rate": (0.5, "x")})


def test_a_rate_that_no_configuration_takes_is_not_written(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("[adapter]\nlearning_rate = 1e-6\n")
    with pytest.raises(BadInput, match=r"41\.02 is beyond 1.*longer time to converge"):
        write_settings(path, {"adapter.learning_rate": (41.021, "x")})
    assert path.read_text() == "[adapter]\nlearning_rate = 1e-6\n"
    write_settings(path, {"adapter.learning_rate": (LARGEST_RATE, "x")})
    assert config.load(path).adapter.learning_rate == LARGEST_RATE
    with pytest.raises(BadInput):
        config.load(None, [f"adapter.learning_rate={1.001 * LARGEST_RATE}"])


def test_a_configuration_that_is_not_there_is_made_from_what_is_given(tmp_path):
    path = tmp_path / "new.toml"
    write_settings(path, {"adapter.learning_rate": (1e-5, "x")}, 0.01, "[session]\nbin_s = 0.01\n")
    made = config.load(path)
    assert (made.session.bin_s, made.adapter.learning_rate) == (0.01, 1e-5)
    with pytest.raises(BadInput, match="there is no configuration"):
        write_settings(tmp_path / "no" / "c.toml", {"adapter.learning_rate": (1e-5, "x")}, None, "")


def test_yesterdays_session_gives_tomorrows_configuration(tmp_path):
    """As the first page has it: no rate, no wish, no file; the session's own rate and settings are taken."""
    recorded, wanted = tmp_path / "a.mcap", tmp_path / "tomorrow.toml"
    settings = ("adapter.learning_rate=3e-6", "task.hold_s=0.2", "session.units=12")
    arguments = ["--headless", "--speed", "max", "--duration", "20", "--seed", "4", "--record", str(recorded)]
    flags = [part for setting in settings for part in ("--set", setting)]
    assert CliRunner().invoke(run, [*arguments, *flags], catch_exceptions=False).exit_code == 0
    done = CliRunner().invoke(
        calibrate, ["--from", str(recorded), "--write", str(wanted), "--no-exact", "--json"], catch_exceptions=False
    )
    answer, made = json.loads(done.stdout.splitlines()[-1]), config.load(wanted)
    assert answer["learning_rate"] == made.adapter.learning_rate == 3e-6
    assert (made.task.hold_s, made.session.units, made.recording.path) == (0.2, 12, "")
    assert made.decoder.gain == pytest.approx(answer["dials"]["gain"], rel=0.01)  # written with three digits


def test_what_was_of_the_pilot_alone_is_not_tomorrows(tmp_path):
    """In a pilot the cursor is moved for the subject, for a few minutes."""
    recorded, wanted = tmp_path / "pilot.mcap", tmp_path / "tomorrow.toml"
    arguments = ["--headless", "--speed", "max", "--duration", "20", "--seed", "4", "--record", str(recorded)]
    flags = ["--set", "task.assist=1.0", "--set", "session.units=12", "--set", "adapter.learning_rate=1e-5"]
    assert CliRunner().invoke(run, [*arguments, *flags], catch_exceptions=False).exit_code == 0
    write = ["--write", str(wanted), "--no-exact", "--force", "--json"]
    assert CliRunner().invoke(calibrate, ["--from", str(recorded), *write], catch_exceptions=False).exit_code == 0
    made = config.load(wanted)
    assert (made.task.assist, made.session.duration_s, made.session.units) == (0.0, 0.0, 12)


def test_a_configuration_says_what_it_read(tmp_path):
    """Text, tables and numbers that TOML writes in its own way come back as they were."""
    path = tmp_path / "c.toml"
    before = config.from_dict(
        {
            "metadata": {"subject_id": 'é "quoted" \\ \U0001f600 \x7f'},
            "source": {"kind": "zeromq", "options": {"a": {"b c": [1, 2.5, True]}}},
            "block": [{"kind": "observe", "length_s": 5.0}, {"kind": "adapt"}],
        }
    )
    path.write_text(config.as_toml(before), encoding="utf-8")
    assert config.load(path) == before
    assert config.as_toml(config.load(None)) == ""
