"""A chain of sessions, each begun with the model of the one before."""

import json

import pytest
from click.testing import CliRunner

from bmi_runtime.cli.lineage import lineage
from bmi_runtime.cli.run import run
from bmi_runtime.errors import BadInput


def _run(path, *settings):
    options = ["--headless", "--speed", "max", "--duration", "25", "--seed", "1", "--record", str(path)]
    options += [part for setting in ("session.units=24", *settings) for part in ("--set", setting)]
    assert CliRunner().invoke(run, options, catch_exceptions=False).exit_code == 0


def _answer(*arguments):
    done = CliRunner().invoke(lineage, [*map(str, arguments), "--json"], catch_exceptions=False)
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_a_chain_says_what_was_carried_and_what_changed(tmp_path):
    first, second = tmp_path / "day1.mcap", tmp_path / "day2.mcap"
    _run(first)
    _run(second, f"encoding.initial={first}")
    (tmp_path / "broken.mcap").write_bytes(b"not a recording")
    found = _answer(tmp_path, "--out", tmp_path / "chain.png")
    assert [one["file"] for one in found["sessions"]] == ["day1.mcap", "day2.mcap"]
    assert [one["carried_from"] for one in found["sessions"]] == [None, "day1.mcap"]
    assert found["sessions"][0]["score"] is None
    assert found["sessions"][1]["p"] > 0.01  # the same units: the array has not changed
    assert 0 < found["sessions"][1]["weight_change"] < 0.5
    assert len(found["units"]) == 24 and all(unit["sessions"] == 2 for unit in found["units"])
    assert [one["file"] for one in found["unread"]] == ["broken.mcap"]
    assert (tmp_path / "chain.png").stat().st_size > 5000


def test_a_folder_without_recordings_is_said(tmp_path):
    with pytest.raises(BadInput, match="no recording that can be read"):
        CliRunner().invoke(lineage, [str(tmp_path)], catch_exceptions=False)
