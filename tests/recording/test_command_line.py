"""``bmi inspect`` and ``bmi recover`` as a person and a program see them."""

import json
import os

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.cli import inspect as inspect_module
from bmi_runtime.cli.inspect import inspect
from bmi_runtime.cli.recover import recover
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import latency_ns
from bmi_runtime.recording.reader import Recording
from bmi_runtime.recording.summary import summarise


def ask(command, *arguments):
    """Run a subcommand with ``--json`` and return its answer."""
    done = CliRunner().invoke(command, [*map(str, arguments), "--json"], catch_exceptions=False)
    return json.loads(done.stdout.splitlines()[-1])


def test_inspect_a_complete_recording(recorded, steps):
    facts = ask(inspect, recorded)
    assert facts["complete"] is True and facts["bins"] == 40 and facts["lost_bytes"] == 0
    assert facts["provenance"] == {"code_version": "0.1.0", "packages": {"numpy": "2"}}
    assert facts["duration_s"] == pytest.approx(0.2) and facts["bin_s"] == 0.005
    assert (facts["trials"], facts["successes"], facts["timeouts"], facts["success_rate"]) == (3, 3, 0, 1.0)
    assert facts["events"] == {"success": 3, "timeout": 3}
    assert facts["adapting"] == 0.75 and facts["learning_rate"] == [1e-6, 1e-6]
    assert facts["safety_states"] == {"active": 40} and facts["odd"] == []
    assert facts["spikes"] == int(steps["input"]["counts"].sum())
    assert facts["mean_rate_hz"] == pytest.approx(facts["spikes"] / 0.2 / 4)
    total_us = latency_ns(steps["timing"]["stage_ns"], steps["timing"]["lateness_ns"]) / 1e3
    assert facts["latency_us"]["p50"] == pytest.approx(np.median(total_us))
    assert facts["latency_us"]["max"] == pytest.approx(total_us.max())
    assert facts["latency_us"]["stages"]["adapt"]["max"] == pytest.approx(steps["timing"]["stage_ns"][:, 3].max() / 1e3)


def test_inspect_a_truncated_recording(recorded):
    os.truncate(recorded, recorded.stat().st_size - 6000)
    facts = ask(inspect, recorded)
    assert facts["complete"] is False and 0 < facts["bins"] < 40 and facts["lost_bytes"] > 0
    assert facts["damage"][0][1] == facts["lost_bytes"]


def test_inspect_counts_what_went_wrong(tmp_path, make, write):
    steps = make(30)
    steps["input"]["gap_bins"][4], steps["input"]["late"][5:8] = 3, 2
    steps["input"]["duplicates"][9], steps["input"]["invalid"][10], steps["input"]["stale"][11:13] = 1, 4, [1, 2]
    steps["input"]["device_time_s"][20:] -= 50.0  # the device clock was reset
    steps["input"]["segment"][20:] = 1
    steps["output"]["safety"][25:] = [4, 4, 5, 9, 9]
    steps["timing"]["deadline_missed"][3:6] = 1
    write(tmp_path / "a.mcap", steps)
    facts = summarise(Recording(tmp_path / "a.mcap"))
    assert facts["input_faults"] == {
        "gap_bins": 3, "late": 6, "duplicates": 1, "invalid": 4, "stale_bins": 2, "segments": 2
    }  # fmt: skip
    assert facts["safety_states"] == {"active": 25, "frozen": 2, "stopped": 1, "unknown 9": 2}
    assert facts["deadline_misses"] == 3
    assert facts["odd"] == [
        "3 bins missed their deadline",
        "3 bins were lost by the source",
        "4 counts or features were refused",
        "6 counts came late and 1 twice",
        "in 2 bins the source had nothing new",
        "the device clock jumped: its times come in 2 segments",
        "in 5 bins the output was frozen or stopped",
    ]
    assert facts["duration_s"] == pytest.approx(29 * 0.005)  # 28 steps inside the segments, and one bin


def test_inspect_names_silent_units_and_nonsense(tmp_path, make, write):
    steps = make(30, n_units=20)
    steps["input"]["counts"][:, [2, 11]] = 0
    steps["output"]["decoded"][7, 1] = np.nan
    write(tmp_path / "a.mcap", steps, {"provenance": {"git_dirty": True}})
    facts = ask(inspect, tmp_path / "a.mcap")
    assert facts["odd"] == [
        "2 of 20 units are silent throughout (2, 11)",
        "the decoded state is not finite somewhere",
        "the code was changed after its commit",
    ]


@pytest.mark.parametrize("n_bins", [0, 1])
def test_inspect_a_recording_with_hardly_a_bin(tmp_path, make, write, n_bins):
    write(tmp_path / "a.mcap", make(n_bins))
    facts = ask(inspect, tmp_path / "a.mcap")
    assert facts["bins"] == n_bins and facts["duration_s"] == 0.0 and facts["bin_s"] is None
    assert CliRunner().invoke(inspect, [str(tmp_path / "a.mcap")]).exit_code == 0


def test_inspect_for_a_person(recorded, tmp_path, make, write):
    text = CliRunner().invoke(inspect, [str(recorded)], env={"COLUMNS": "200"}).stdout
    for words in ("complete", "40 of 5 ms", "4 (spike counts)", "3: 3 reached (100.0%)", "success 3, timeout 3"):
        assert words in text, text
    parent = {"path": str(recorded), "last_bin_index": 39}
    write(tmp_path / "next.mcap", make(9, n_units=3, continuous=True), {"parent": parent}, False, True)
    with open(tmp_path / "next.mcap", "ab") as file:
        file.write(b"half a frame")
    text = CliRunner().invoke(inspect, [str(tmp_path / "next.mcap")], env={"COLUMNS": "300"}).stdout
    for words in ("12 bytes cannot be read", "3 (features)", "after bin 39", "does not say"):
        assert words in text, text


def test_recover(recorded, tmp_path):
    os.truncate(recorded, recorded.stat().st_size - 6000)
    facts = ask(recover, recorded)
    assert {"complete", "bins", "lost_bytes", "provenance"} <= set(facts)
    assert facts["complete"] is False and facts["recording"] == str(tmp_path / "session.recovered.mcap")
    assert Recording(facts["recording"]).n_steps == facts["bins"]
    assert ask(inspect, facts["recording"])["recovered"]["lost_bytes"] == facts["lost_bytes"]
    done = CliRunner().invoke(recover, [str(recorded), "-o", str(tmp_path / "b.mcap")])
    assert f"{facts['bins']} bins" in done.stdout and "the file ends inside a" in done.stdout


@pytest.mark.parametrize(("name", "words"), [("none.mcap", "is not a file"), (".", "folder without a recording")])
def test_inspect_what_is_not_a_file(tmp_path, name, words):
    with pytest.raises(BadInput, match=words):
        ask(inspect, tmp_path / name)


def test_a_recording_is_known_by_its_first_bytes(recorded):
    renamed = recorded.rename(recorded.with_name("session.dat"))
    assert ask(inspect, renamed)["bins"] == 40


def test_an_unknown_suffix_is_named(tmp_path):
    (tmp_path / "a.xyz").write_text("hello")
    with pytest.raises(BadInput, match=r"a\.xyz: no format of the suffix '\.xyz' is read; .*\.mcap"):
        ask(inspect, tmp_path / "a.xyz")


def test_other_kinds_of_file_plug_in(tmp_path, monkeypatch):
    (tmp_path / "a.xyz").write_text("hello")
    monkeypatch.setitem(inspect_module.INSPECTORS, ".xyz", "os:fstat_of")
    monkeypatch.setattr(os, "fstat_of", lambda file: ({"bytes": file.stat().st_size}, "five bytes"), raising=False)
    assert ask(inspect, tmp_path / "a.xyz") == {"bytes": 5}
    assert CliRunner().invoke(inspect, [str(tmp_path / "a.xyz")]).stdout == "five bytes\n"
