"""Files that are not what their ending says, on every command that takes one: one sentence and exit code 2."""

import sys
import threading

import numpy as np
import pytest

from bmi_runtime.cli.main import main

BLACKROCK = [".nev", ".ns1", ".ns2", ".ns5", ".ns6"]
FOLDERS = [".ncs", ".nse", ".ntt", ".meta", ".bin", ".oebin", ".continuous", ".spikes"]
ENDINGS = [".mcap", ".npz", ".mat", ".nwb", ".plx", ".nex", ".smr", ".gdf", ".h5", *BLACKROCK, *FOLDERS]
CONTENTS = {
    "a letter": b"Dear colleague, this is a letter and no recording.\n" * 30,
    "nothing": b"",
    "noise": np.random.default_rng(1).integers(0, 256, 5000).astype(np.uint8).tobytes(),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(400),
    "an archive": b"PK\x03\x04" + bytes(200),
    "an HDF5 head": b"\x89HDF\r\n\x1a\n" + bytes(600),
    "an MCAP head": b"\x89MCAP0\r\n" + bytes(100),
}
FOR_ALL = ("a letter", "nothing", "noise")
VERBS = {
    "inspect": ["inspect"],
    "decode": ["decode", "--direct"],
    "compare": ["compare", "--decoders", "ridge"],
    "calibrate": ["calibrate", "--learning-rate", "1e-6", "--from"],
    "glm fit": ["glm", "fit"],
    "export": ["export"],
    "replay": ["replay"],
    "recover": ["recover"],
}


@pytest.fixture
def bmi(capsys, monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bmi", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        return stopped.value.code, said.out, said.err

    return run


def refused(answer, about=""):
    code, out, err = answer
    assert code == 2, (code, out, err)
    lines = err.strip().splitlines()
    assert len(lines) == 1 and "Traceback" not in err and out == "", err
    assert len(lines[0]) < 600 and about in lines[0]
    return lines[0]


TRIED = [(verb, content) for verb in VERBS for content in CONTENTS if verb == "inspect" or content in FOR_ALL]


@pytest.mark.parametrize(("verb", "content"), TRIED)
def test_the_right_ending_and_another_content(tmp_path, bmi, verb, content):
    for ending in ENDINGS:
        if ending == ".bin":
            (tmp_path / "file.bin.d").mkdir()
            file = tmp_path / "file.bin.d" / "file.bin"
        else:
            file = tmp_path / f"file{ending}"
        file.write_bytes(CONTENTS[content])
        before = file.read_bytes()
        refused(bmi(*VERBS[verb], file), "file")
        assert file.read_bytes() == before


@pytest.mark.parametrize("verb", VERBS)
def test_no_file_and_a_folder_with_nothing(tmp_path, bmi, verb):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "absent.npz", tmp_path / "folder", tmp_path / "file.docx", tmp_path / "folder" / "x.nwb"):
        if path.suffix == ".docx":
            path.write_bytes(b"PK")
        refused(bmi(*VERBS[verb], path))


def test_what_a_part_left_running_ends_no_process_that_goes_on(bmi, monkeypatch):
    """The command line may be called by a process that has more to do, as this one."""
    from bmi_runtime.cli import main as module
    from bmi_runtime.session import processes

    release = threading.Event()
    left = threading.Thread(target=release.wait)
    left.start()
    monkeypatch.setattr(processes, "left_threads", [left])
    monkeypatch.setattr(module, "LONGEST_END_S", 0.0)
    monkeypatch.setattr(module.os, "_exit", lambda code: release.set())
    bmi("inspect", "nothing.npz")
    assert not release.wait(0.3)
    release.set()
