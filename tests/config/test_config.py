"""The configuration: the shipped files are complete and true, and mistakes are named."""

import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmi_runtime import config
from bmi_runtime.errors import BadInput
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble

SELF_EXPLAINING = ("_s", "_m", "_hz", "enabled", "address", "per_trial", "_spikes", "_fraction", "kind")
SHIPPED = sorted(config.folder().glob("*.toml"))


def test_the_default_file_shows_every_key_with_its_default():
    shown = tomllib.loads((config.folder() / "default.toml").read_text())
    assert config.load(config.folder() / "default.toml") == config.load()
    keys = {f"{section}.{key}" for section, body in shown.items() for key in body} | {"session.bin_s"}
    assert keys | set(_block_shown()) == {key for key in config.valid_keys() if "." in key}


def _block_shown() -> dict:
    """Return the keys of the block in the default file, which stands in comments: the default has none."""
    lines = (config.folder() / "default.toml").read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("# [[block]]"))
    block = lines[begin : lines.index("", begin)]
    shown = tomllib.loads("\n".join(line[2:] for line in block))
    (made,) = config.from_dict(shown).block
    assert made.kind == "observe" and made.shown_name == "observe"
    return {f"block.{key}": value for key, value in shown["block"][0].items()}


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"kind": "fixed", "adapt": True}, "'fixed' does not adapt"),
        ({"kind": "adapt", "assist": 0.5}, "'adapt' has no assist"),
        ({"kind": "assisted", "assist": 0.0}, "is assisted; without assist it is"),
        ({"kind": "free", "trials": 3}, "has no trials to end by"),
        ({"kind": "sleep"}, "block.0.kind"),
        ({"kind": "adapt", "lenght_s": 3}, "the nearest valid key is 'block.length_s'"),
        ({}, "block.0.kind"),
    ],
)
def test_a_block_that_contradicts_itself_is_refused_in_a_sentence(block, said):
    with pytest.raises(BadInput) as refused:
        config.from_dict({"block": [block]})
    assert said in str(refused.value)


def test_blocks_may_be_given_as_an_override():
    made = config.load(None, ['block=[{kind = "observe", length_s = 20}, {kind = "fixed", trials = 8}]'])
    assert [block.kind for block in made.block] == ["observe", "fixed"]


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
        ("recording.snapshot_s=1e308", "recording.snapshot_s: a time is at most 1e+09 s"),
        ("safety.frozen_after_s=1e10", "safety.frozen_after_s: a time is at most 1e+09 s"),
        ("learning_rate=1", "section.key=value"),
        ("task.kind", "section.key=value"),
        ("session.likelihood=binomial", "session.likelihood"),
        ("adapter.search_range=3", "adapter.search_range: input should be a list in square brackets (got 3)"),
        ("state.axes=x", "state.axes: input should be a list in square brackets (got 'x')"),
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


def test_a_key_of_a_former_version_is_named_with_what_to_do(tmp_path):
    file = tmp_path / "old.toml"
    file.write_text('[source]\nkind = "zeromq"\ncommand_address = "tcp://127.0.0.1:5572"\n')
    with pytest.warns(UserWarning, match=r"old\.toml: source\.command_address is not read any more.*output_address"):
        assert config.load(file).source.kind == "zeromq"


def test_a_recording_that_holds_a_key_of_a_former_version_is_read_without_it():
    data = {"state": {}, "source": {"kind": "zeromq", "command_address": "tcp://127.0.0.1:5572"}}
    read = config.as_recorded(data)
    assert config.from_dict(read).source.kind == "zeromq"
    assert "command_address" in data["source"]  # what was recorded stays as it was


IMPOSSIBLE = ("nan", "inf", "-inf", "-1e308", "''", "'x'", "[]", "[nan]", "{}", "true", "[[]]")
KEYS = [key for key in config.valid_keys() if "." in key and not key.startswith("block.")]


def test_every_key_takes_a_value_or_refuses_it_by_its_name():
    """Not-a-number, infinities, lists, tables, words: each is refused in one line with the key, or is a value of it."""
    for key in KEYS:
        for value in IMPOSSIBLE:
            try:
                config.load(None, [f"{key}={value}"])
            except BadInput as error:
                said = str(error)
                assert key.split(".")[1] in said and "\n" not in said and len(said) < 1000, (key, value, said)


@pytest.mark.parametrize("value", ["1e308", "1e-320"])
def test_what_the_schema_takes_a_session_is_made_of(value):
    """A number at the end of what a float holds is refused in a sentence, or a session runs with it."""
    for key in KEYS:
        section, name = key.split(".")
        if section in ("telemetry", "metadata", "recording", "realtime", "guard", "output") or name == "options":
            continue
        try:
            quiet = ["telemetry.enabled=false", "recording.enabled=false", "realtime.lock_memory=false"]
            made = config.load(None, ["session.units=3", *quiet, f"{key}={value}"])
            loop = assemble(made, "max")
        except BadInput:
            continue
        launch.run(loop, 4)
        assert np.isfinite(loop.session.cursor).all(), key


def test_a_wrong_value_is_repeated_in_short():
    blocks = ", ".join(["{kind = 'adapt'}"] * 1001)
    with pytest.raises(BadInput) as refused:
        config.load(None, [f"block=[{blocks}]"])
    assert "at most 1000 items" in str(refused.value) and len(str(refused.value)) < 500


def test_a_sentence_says_what_is_wrong_and_no_kind_of_error():
    with pytest.raises(BadInput) as refused:
        config.load(None, ["state.axes=['x', 'x']"])
    assert str(refused.value).endswith("state: the name 'x' is there twice among the axes x, x")
