"""`.mat` files of MATLAB 7.3, which are HDF5: arrays stand transposed, cells and arrays of structs are references."""

import numpy as np
import pytest

from bmi_runtime.errors import BadInput
from bmi_runtime.sources.datafile import load_recording
from bmi_runtime.sources.mat_file import mat_variables

h5py = pytest.importorskip("h5py", reason="h5py is not installed (pip install bmi-runtime[nwb])")

RNG = np.random.default_rng(5)
COUNTS, VELOCITY = RNG.poisson(2.0, (90, 4)), RNG.normal(size=(90, 2))
BLOCKS = (slice(0, 50), slice(50, 90))


def write(path):
    """Write counts and velocity as arrays, as a struct, as cells and as an array of structs; an empty array."""
    with h5py.File(path, "w", userblock_size=512) as file:
        kept = file.create_group("#refs#")

        def references(values):
            number = len(kept)
            made = [kept.create_dataset(f"{number + i}", data=value.T) for i, value in enumerate(values)]
            return np.array([[item.ref for item in made]], dtype=h5py.ref_dtype).T

        file["counts"], file["velocity"] = COUNTS.T.astype(float), VELOCITY.T
        file["session/counts"], file["session/velocity"] = COUNTS.T.astype(float), VELOCITY.T
        file["session"].attrs["MATLAB_class"] = np.bytes_("struct")
        for name, whole in (("counts", COUNTS), ("velocity", VELOCITY)):
            parts = [whole[block].astype(float) for block in BLOCKS]
            file[f"cells_{name}"] = references(parts)
            file[f"cells_{name}"].attrs["MATLAB_class"] = np.bytes_("cell")
            file[f"blocks/{name}"] = references(parts)
        file["blocks"].attrs["MATLAB_class"] = np.bytes_("struct")
        file["empty"] = np.array([0, 0], np.uint64)
        file["empty"].attrs["MATLAB_empty"] = 1
    with open(path, "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\x00\x02IM")


@pytest.mark.parametrize(
    ("counts", "velocity"),
    [
        ("counts", "velocity"),
        ("session.counts", "session.velocity"),
        ("cells_counts[*]", "cells_velocity[*]"),
        ("blocks[*].counts", "blocks[*].velocity"),
    ],
)
def test_every_way_of_keeping_counts(tmp_path, counts, velocity):
    write(tmp_path / "a.mat")
    (tmp_path / "a.mat.toml").write_text(  # found beside the file by its name
        f'name = "x"\n[bin]\nwidth_s = 0.05\n[counts]\nvariable = "{counts}"\n[velocity]\nvariable = "{velocity}"\n'
    )
    recording = load_recording(tmp_path / "a.mat")
    np.testing.assert_array_equal(recording.counts, COUNTS)
    np.testing.assert_array_equal(recording.velocity, VELOCITY)
    assert np.flatnonzero(recording.restart).tolist() == ([0, 50] if "[*]" in counts else [0])


def test_the_variables_are_those_that_matlab_shows(tmp_path):
    write(tmp_path / "a.mat")
    found = mat_variables(tmp_path / "a.mat")
    assert set(found) == {"counts", "velocity", "session", "cells_counts", "cells_velocity", "blocks", "empty"}
    assert found["empty"].shape == (0, 0)
    assert len(found["blocks"]) == 2


def test_a_truncated_one_is_one_sentence(tmp_path):
    write(tmp_path / "a.mat")
    content = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match=r"a.mat: not a readable .mat file of version 7.3") as caught:
        load_recording(tmp_path / "a.mat")
    assert "\n" not in str(caught.value)
