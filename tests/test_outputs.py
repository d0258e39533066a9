"""Results appear whole or not at all."""

import errno
import os
import stat

import numpy as np
import pytest

from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.outputs import check_writable, whole_file, whole_text, write_npz


def test_a_failed_write_keeps_the_older_result_and_leaves_nothing_beside_it(tmp_path):
    file = tmp_path / "out.npz"
    write_npz(file, counts=np.arange(3))
    with pytest.raises(BmiError, match=r"out.npz cannot be written: No space left"), whole_file(file) as opened:
        opened.write(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(ValueError, match="not a matter of files"), whole_text(file) as text:
        text.write("a")
        raise ValueError("not a matter of files")
    np.testing.assert_array_equal(np.load(file)["counts"], np.arange(3))
    assert os.listdir(tmp_path) == ["out.npz"]


def test_a_result_replaces_the_older_one_through_links_and_with_its_mode(tmp_path):
    real, link = tmp_path / "real.npz", tmp_path / "link.npz"
    write_npz(real, a=np.zeros(1))
    real.chmod(0o640)
    link.symlink_to(real)
    write_npz(link, a=np.ones(1))
    assert link.is_symlink()
    assert np.load(real)["a"] == 1.0
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_pipe_is_written_to_and_not_replaced():
    before = os.stat(os.devnull)
    write_npz(os.devnull, a=np.zeros(4))
    assert os.stat(os.devnull).st_rdev == before.st_rdev
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_what_could_not_be_written_is_refused_before_the_work(tmp_path):
    check_writable(tmp_path / "new.npz")
    check_writable(os.devnull)
    assert os.listdir(tmp_path) == []
    for path, words in (
        (tmp_path / "absent" / "a.npz", "there is no folder"),
        ("/proc/a.npz", "cannot be written"),
        (tmp_path / ("x" * 300), "cannot be written: File name too long"),
    ):
        with pytest.raises(BadInput, match=words):
            check_writable(path)
