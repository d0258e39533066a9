"""Standard streams that are closed, full or of few characters, and names that are no text: a sentence, and no harm."""

import os
import subprocess
import sys

import pytest

from bmi_runtime.cli.main import refuse_devices
from bmi_runtime.errors import BadInput
from bmi_runtime.recording.reader import Recording

RUN = ["run", "--headless", "--speed", "max", "--duration", "0.5", "--set", "session.units=4"]


def bmi(*arguments, shell="", folder=None, **env):
    """Run the command in a shell that redirects its streams; return the code and what it said on standard error."""
    command = f'exec "$@" {shell}'
    words = ["bash", "-c", command, "-", sys.executable, "-m", "bmi_runtime.cli.main", *arguments]
    done = subprocess.run(words, cwd=folder, env={**os.environ, **env}, capture_output=True, timeout=120)
    return done.returncode, done.stderr.decode(errors="replace"), done.stdout.decode(errors="replace")


def test_closed_streams_never_become_the_recording(tmp_path):
    code, said, _ = bmi(*RUN, "--record", "a.mcap", shell="<&- >&-", folder=tmp_path)
    assert code == 0 and said == "bmi: standard output is closed, so what would be answered there is not seen\n"
    assert Recording(tmp_path / "a.mcap").complete
    code, _, _ = bmi(*RUN, "--record", "b.mcap", shell="<&- >&- 2>&-", folder=tmp_path)
    assert code == 0 and Recording(tmp_path / "b.mcap").complete


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a file that is always full")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_full_standard_output_is_said_and_is_no_success(tmp_path, more):
    code, said, _ = bmi(*RUN, *more, "--record", "a.mcap", shell="> /dev/full", folder=tmp_path)
    assert code == 1 and "standard output" in said and "No space left" in said and "Traceback" not in said
    assert "Exception ignored" not in said


def test_few_characters_and_characters_that_hide(tmp_path):
    name = "a\u202e\x1b[31mé.mcap"
    code, _, out = bmi(*RUN, "--record", name, folder=tmp_path, PYTHONIOENCODING="ascii")
    assert code == 0 and (tmp_path / name).exists()
    assert r"a\u202e\x1b[31m\xe9.mcap" in out and out.isascii() and "\x1b" not in out


def test_a_name_that_is_no_text_is_a_sentence(tmp_path):
    code, said, _ = bmi(*RUN, "--record", b"b\xe9.mcap", folder=tmp_path, PYTHONUTF8="1")
    assert code == 2 and said.count("\n") == 1 and r"the name 'b\udce9.mcap' holds bytes that are not text" in said
    assert not list(tmp_path.iterdir())


def test_whatever_the_umask_its_owner_can_read_a_recording_again(tmp_path):
    before = os.umask(0o777)
    try:
        code, _, _ = bmi(*RUN, "--record", "a.mcap", folder=tmp_path)
    finally:
        os.umask(before)
    assert code == 0 and (tmp_path / "a.mcap").stat().st_mode & 0o777 == 0o600


def test_help_that_nobody_reads_or_that_finds_no_room(tmp_path):
    code, said, _ = bmi("--help", shell="> /dev/full", folder=tmp_path)
    assert code == 1 and said == "bmi: standard output cannot be written: No space left on device\n"
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "bmi_runtime.cli.main", "--help"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    assert done.returncode == 1 and done.stderr == b""


@pytest.mark.parametrize("name", ["pipe.npz", "endless.npz", "endless.toml"])
@pytest.mark.parametrize("words", [("decode",), ("calibrate", "--from"), ("run", "--headless", "--config")])
def test_pipes_and_devices_are_refused_and_not_read_for_ever(tmp_path, name, words):
    if name.startswith("pipe"):
        os.mkfifo(tmp_path / name)
    else:
        os.symlink("/dev/zero", tmp_path / name)
    code, said, _ = bmi(*words, name, folder=tmp_path)
    assert code == 2 and said == f"bmi: {name} is a pipe or a device, not a file\n"
    code, said, _ = bmi(*RUN, "--set", f"decoder.frozen_model={name}", folder=tmp_path)
    assert code == 2 and said == f"bmi: {name} is a pipe or a device, not a file\n"


def test_an_empty_device_and_what_a_shell_opens_are_no_mistake(tmp_path):
    os.symlink(os.devnull, tmp_path / "empty.toml")
    for config in ("empty.toml", "<(echo)"):
        code, said, _ = bmi(*RUN, shell=f"--config {config}", folder=tmp_path)
        assert code == 0, said


def test_a_part_of_others_may_be_told_its_serial_line():
    master, line = os.openpty()
    try:
        name = os.ttyname(line)
        for key in ("source.address", "source.options.port", "task.options.joystick"):
            refuse_devices(["run", "--set", f"{key}={name}", f"--set={key}={name}"])
        for word in (name, f"--mapping={name}", f"decoder.frozen_model={name}"):
            with pytest.raises(BadInput, match="is a pipe or a device"):
                refuse_devices(["run", word])
    finally:
        os.close(master)
        os.close(line)
