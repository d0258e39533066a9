"""Which packages offer parts: looked up once a process, and again after something was installed."""

import importlib.metadata
import sys

from bmi_runtime import registry

GROUP = "bmi_runtime.decoders"


def install(folder, name):
    made = folder / f"{name}-1.0.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (made / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {name}:Part\n")


def test_packages_are_read_once_and_again_when_one_was_installed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    read, scans = importlib.metadata.entry_points, []
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: scans.append(1) or read(group=group))
    table = registry.Table("decoder", {"ours": "bmi_runtime.registry:Table"}, GROUP)
    before = table.names()
    assert table.names() == before and "theirs" not in before and len(scans) == 1
    install(tmp_path, "theirs")
    assert set(table.names()) == {*before, "theirs"} and len(scans) == 2
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder != str(tmp_path)])
    assert table.names() == before
