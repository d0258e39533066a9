"""Writing a rate into every form a configuration can take, and refusing what cannot be changed safely."""

import tomllib

import pytest

from bmi_runtime import config
from bmi_runtime.calibration.config_update import LARGEST_RATE, write_learning_rate
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
    write_learning_rate(path, 2.5e-5, "for a test")
    write_learning_rate(path, 1.5e-5, "for a\nsecond test")
    before, after = tomllib.loads(text), tomllib.loads(path.read_text())
    assert after["adapter"].pop("learning_rate") == 1.5e-5
    before.setdefault("adapter", {}).pop("learning_rate", None)
    assert after == before
    assert path.read_text().count("# calculated by bmi calibrate: for a second test") == 1


def test_windows_line_ends_stay(tmp_path):
    path = tmp_path / "c.toml"
    path.write_bytes(b"[adapter]\r\nlearning_rate = 1\r\n")
    write_learning_rate(path, 0.5, "x")
    assert path.read_bytes() == b"[adapter]\r\n# calculated by bmi calibrate: x\r\nlearning_rate = 0.5\r\n"


@pytest.mark.parametrize("text", ["adapter = {learning_rate = 1}\n", 'x = """\n[adapter]\n"""\n'])
def test_forms_that_are_refused_stay_untouched(tmp_path, text):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match="cannot be changed safely"):
        write_learning_rate(path, 0.5, "x")
    assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


def test_missing_or_broken_files(tmp_path):
    with pytest.raises(BadInput, match="there is no configuration"):
        write_learning_rate(tmp_path / "no.toml", 0.5, "x")
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(BadInput, match="nothing was written"):
        write_learning_rate(tmp_path / "bad.toml", 0.5, "x")


def test_a_rate_that_no_configuration_takes_is_not_written(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("[adapter]\nlearning_rate = 1e-6\n")
    with pytest.raises(BadInput, match=r"41\.02 is beyond 1.*longer time to converge"):
        write_learning_rate(path, 41.021, "x")
    assert path.read_text() == "[adapter]\nlearning_rate = 1e-6\n"
    write_learning_rate(path, LARGEST_RATE, "x")
    assert config.load(path).adapter.learning_rate == LARGEST_RATE
    with pytest.raises(BadInput):
        config.load(None, [f"adapter.learning_rate={1.001 * LARGEST_RATE}"])
