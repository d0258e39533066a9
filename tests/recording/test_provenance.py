"""Provenance: which code, packages and machine."""

import json
import platform
import subprocess

import numpy as np

from bmi_runtime import __version__
from bmi_runtime.recording.provenance import _git_state, provenance


def test_versions_are_those_in_use():
    found = provenance()
    assert found["code_version"] == __version__
    assert found["packages"]["numpy"] == np.__version__
    assert {"numba", "scipy", "msgpack", "mcap", "pyzmq"} <= set(found["packages"])
    assert found["python"] == platform.python_version() and found["cpu"] and found["cpu_count"] >= 1
    json.dumps(found)


def test_commit_and_changes(tmp_path):
    def git(*arguments):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True)

    assert _git_state(tmp_path) == (None, None)
    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-q", "-m", "first")
    commit, dirty = _git_state(tmp_path)
    assert len(commit) == 40 and dirty is False
    (tmp_path / "new").write_text("untracked files do not count")
    assert _git_state(tmp_path) == (commit, False)
    (tmp_path / "a").write_text("2")
    assert _git_state(tmp_path) == (commit, True)


def test_without_git(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    assert _git_state(tmp_path) == (None, None)
    monkeypatch.setenv("PATH", "")
    assert _git_state(tmp_path) == (None, None)
