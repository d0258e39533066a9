"""The configuration: the shipped files are complete and true, and mistakes are named."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmi_runtime import config
from bmi_runtime.errors import BadInput

SELF_EXPLAINING = ("_s", "_m", "_hz", "enabled", "address", "per_trial", "_spikes", "_fraction", "kind")
SHIPPED = sorted(config.folder().glob("*.toml"))


def test_the_default_file_shows_every_key_with_its_default():
    shown = tomllib.loads((config.folder() / "default.toml").read_text())
    assert config.load(config.folder() / "default.toml") == config.load()
    keys = {f"{section}.{key}" for section, body in shown.items() for key in body} | {"session.bin_s"}
    assert keys == {key for key in config.valid_keys() if "." in key}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_key_of_a_shipped_file_is_explained(path):
    section = None
    for line in path.read_text().splitlines():
        section = line if line.startswith("[") else section
        bare = line.split("#")[0].strip()
        if "=" not in bare or bare.startswith("#"):
            continue
        name = bare.split("=")[0].strip()
        assert "#" in line or any(part in name for part in SELF_EXPLAINING), f"{path.name}: {section} {name}"
    config.load(path)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("adapter.lerning_rate=1", "adapter.learning_rate"),
        ("adaptor.learning_rate=1", "adapter"),
        ("task.hold=1", "task.hold_s"),
        ("task.hold_s=-1", "task.hold_s"),
        ("adapter.learning_rate=fast", "adapter.learning_rate"),
        ("adapter.learning_rate=nan", "adapter.learning_rate"),
        ("learning_rate=1", "section.key=value"),
        ("task.kind", "section.key=value"),
        ("session.likelihood=binomial", "session.likelihood"),
        ("population.baseline_hz=[0.0, 0.0]", "population.baseline_hz: rates are drawn from above zero"),
        ("population.baseline_hz=[-1.0, 5.0]", "population.baseline_hz: rates are drawn from above zero"),
        ("population.depth=[1.0, 0.5]", "population.depth: a range goes from its lower to its upper end"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(override, said):
    with pytest.raises(BadInput) as error:
        config.load(None, [override])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_all_mistakes_are_named_at_once():
    with pytest.raises(BadInput) as error:
        config.load(None, ["adapter.lerning_rate=1", "task.hold_s=-1"])
    assert "lerning_rate" in str(error.value)
    assert "hold_s" in str(error.value)


def test_a_file_that_is_not_there_or_not_toml(tmp_path):
    with pytest.raises(BadInput, match="hard_world"):
        config.load("no_such_world")
    bad = tmp_path / "bad.toml"
    bad.write_text("[session\nunits = 3")
    with pytest.raises(BadInput, match=r"bad\.toml"):
        config.load(bad)


def test_a_configuration_cannot_change():
    with pytest.raises(Exception, match="frozen"):
        config.load().session.units = 3


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_override_is_taken_or_refused_in_words(key, value):
    try:
        config.load(None, [f"{key}={value}"])
    except BadInput as error:
        assert str(error)
