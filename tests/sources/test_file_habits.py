"""Files as laboratories write them, once more: flags in place of indices, padded trials, pieces that do not match."""

import datetime
import json
import zipfile

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from click.testing import CliRunner

from bmi_runtime.cli.decode import decode
from bmi_runtime.cli.glm import glm
from bmi_runtime.errors import BadInput
from bmi_runtime.sources import datafile
from bmi_runtime.sources.array_file import Arrays
from bmi_runtime.sources.datafile import load_recording
from bmi_runtime.sources.from_arrays import recording_from_arrays
from bmi_runtime.sources.oddities import of_bins, of_spikes
from bmi_runtime.sources.spike_counts import count_spikes
from bmi_runtime.sources.spike_file import read_spikes

BINS, UNITS, BIN_S = 400, 8, 0.05
EVERY_FIFTY = np.arange(0, BINS, 50)


@pytest.fixture(scope="module")
def made():
    """Return counts, velocity (m/s) and position (m) of bins."""
    rng = np.random.default_rng(3)
    times = BIN_S * np.arange(BINS)
    position = np.column_stack([0.1 * np.sin(2 * times), 0.08 * np.cos(1.3 * times)]) + 1e-4 * rng.normal(
        size=(BINS, 2)
    )
    velocity = np.gradient(position, BIN_S, axis=0)
    return rng.poisson(2.0, (BINS, UNITS)), velocity, position


@pytest.mark.parametrize(
    "given",
    [
        EVERY_FIFTY,
        EVERY_FIFTY.astype(float)[:, None],
        np.isin(np.arange(BINS), EVERY_FIFTY),
        np.isin(np.arange(BINS), EVERY_FIFTY).astype(int),
        np.arange(BINS) // 50,
        7.0 - np.arange(BINS)[:, None] // 50,
    ],
    ids=["bins", "column of floats", "flags", "flags as numbers", "number of the trial", "numbers that fall"],
)
def test_trials_are_told_by_bins_flags_or_numbers(made, given):
    counts, velocity, _ = made
    recording = recording_from_arrays("r", counts, BIN_S, velocity, trial_start=given)
    np.testing.assert_array_equal(np.flatnonzero(recording.trial_start), EVERY_FIFTY)


def test_trials_filled_up_with_nan_are_as_long_as_they_were(made):
    counts, velocity, _ = made
    lengths = [50, 31, 50, 42, 50, 50, 11, 50]
    table, moved = counts.reshape(8, 50, UNITS).astype(float), velocity.reshape(8, 50, 2).copy()
    for trial, length in enumerate(lengths):
        table[trial, length:] = moved[trial, length:] = np.nan
    recording = recording_from_arrays("r", table, BIN_S, moved)
    kept = np.concatenate([50 * trial + np.arange(length) for trial, length in enumerate(lengths)])
    np.testing.assert_array_equal(recording.counts, counts[kept])
    np.testing.assert_array_equal(recording.velocity, velocity[kept])
    starts = np.cumsum([0, *lengths[:-1]])
    np.testing.assert_array_equal(np.flatnonzero(recording.trial_start), starts)
    np.testing.assert_array_equal(np.flatnonzero(recording.restart), starts)
    assert f"{BINS - len(kept)} bins have no counts" in recording.odd[0]
    table[3, 5, 2] = np.nan  # one unit alone was recorded and is not known
    with pytest.raises(BadInput, match=r"counts of bin .*, unit 2 is nan"):
        recording_from_arrays("r", table, BIN_S, moved)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v, p: (BIN_S * v, p), "the change in a bin, not in a second"),
        (lambda v, p: (100 * v, p), "in another unit"),
        (lambda v, p: (1e80 * v, p), "in another unit"),
        (lambda v, p: (-v, p), "of the opposite sign"),
        (
            lambda v, p: (np.where(np.arange(BINS)[:, None] < 150, v, 0.0), None),
            "does not change for 12.5 s from bin 150",
        ),
    ],
    ids=["per bin", "cm/s beside m", "astronomic", "flipped", "tracker stopped"],
)
def test_kinematics_that_contradict_each_other_or_stand_are_odd(made, change, words):
    counts, velocity, position = made
    assert of_bins(recording_from_arrays("r", counts, BIN_S, velocity, position)) == []
    (sentence,) = [text for text in of_bins(recording_from_arrays("r", counts, BIN_S, *change(velocity, position)))
                   if "joins of trials" not in text]  # fmt: skip
    assert words in sentence


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"position": np.arange(BINS) * BIN_S}, "a clock, not a movement; save the movement"),
        ({"velocity": np.full((BINS, 2), 1e300) * (np.arange(BINS)[:, None] % 7)}, "the largest velocity is 6e"),
        ({"velocity": np.sin(np.arange(BINS))[:, None] * 1e-310}, "give it in a unit"),
        ({"counts": np.zeros((4, UNITS, 100)), "velocity": np.zeros((4, 2, 100))}, "trials x bins x units"),
        ({"bin_s": np.nan}, "; it is nan"),
        ({"bin_s": []}, "; it is empty"),
    ],
)
def test_what_no_movement_is_made_of(made, arrays, words):
    counts, velocity, _ = made
    known = {"counts": counts, "bin_s": BIN_S} | ({} if "position" in arrays else {"velocity": velocity})
    with pytest.raises(BadInput, match=words):
        recording_from_arrays("r", **(known | arrays))


def cells(items):
    out = np.empty((1, len(items)), dtype=object)
    for index, item in enumerate(items):
        out[0, index] = item
    return out


def mat(folder, content, counts="c", velocity="v", order="bins x units", more=""):
    scipy.io.savemat(folder / "s.mat", content)
    (folder / "s.mat.toml").write_text(
        f'name="t"\n[counts]\nvariable="{counts}"\norder="{order}"\n[bin]\nwidth_s={BIN_S}\n{more}\n'
        f'[velocity]\nvariable="{velocity}"\nunit="m/s"\n'
    )
    return folder / "s.mat"


def structs(counts, velocity, rows):
    table = np.zeros((1, len(rows)), dtype=[("c", "O"), ("v", "O")])
    for index, row in enumerate(rows):
        table[0, index] = (counts[row], velocity[row])
    return table


def test_pieces_that_do_not_belong_together_are_named(tmp_path, made):
    counts, velocity, _ = made
    counts, rows = counts.astype(float), np.split(np.arange(BINS), [100, 250])
    pieces, moved = [counts[row] for row in rows], [velocity[row] for row in rows]
    shifted = [velocity[:99], velocity[99:250], velocity[250:]]  # as many bins in all
    for content, paths, words in (
        ({"c": cells(pieces), "v": cells(shifted)}, ("c[*]", "v[*]"), "piece 1 of 'c.*' has 100 bins, .* 99"),
        ({"c": cells(pieces), "v": cells(moved[:2])}, ("c[*]", "v[*]"), "has 3 pieces, and .* has 2"),
        ({"c": cells(pieces), "v": cells(moved)}, ("c", "v"), r"an array of 3 cells; write 'c\[\*\]'"),
        ({"c": cells([cells(pieces)] * 2), "v": cells(moved)}, ("c[*]", "v[*]"), r"write 'c\[\*\]\[\*\]'"),
        ({"D": structs(counts, velocity, rows)}, ("D.c", "D.v"), r"several elements: write 'D\[\*\].c'"),
        ({"c": counts, "v": velocity + 1j}, ("c", "v"), "'v' holds complex128"),
        ({"c": counts, "v": velocity, "t": "words"}, ("c", "v"), "'t' holds no numbers"),
        ({"c": counts, "v": velocity, "t": np.zeros(1)}, ("c", "v"), "makes bins of nan s"),
    ):
        with pytest.raises(BadInput, match=words):
            load_recording(mat(tmp_path, content, *paths, more='time="t"'))


@pytest.mark.parametrize("order", ["bins x units", "units x bins"])
@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0), (0, 2, 1), (2, 1, 0)], ids=["tbu", "but", "tub", "ubt"])
def test_trials_of_three_dimensions_lie_in_any_order(tmp_path, made, axes, order):
    if (axes.index(2) < axes.index(1)) != (order == "units x bins"):
        return  # units before bins, or after them
    counts, velocity, _ = made
    table, moved = (np.transpose(part.reshape(8, 50, -1), axes) for part in (counts.astype(float), velocity))
    recording = load_recording(mat(tmp_path, {"c": table, "v": moved}, order=order))
    np.testing.assert_array_equal(recording.counts, counts)
    np.testing.assert_allclose(recording.velocity, velocity)
    np.testing.assert_array_equal(np.flatnonzero(recording.restart), EVERY_FIFTY)
    assert any("8 trials of 50 bins" in text for text in recording.odd) == (axes.index(2) == 1)


def test_a_break_of_the_files_own_time_starts_again_and_unknown_trials_are_one(tmp_path, made):
    counts, velocity, _ = made
    times = 1e3 * BIN_S * np.arange(BINS) + np.where(np.arange(BINS) >= 300, 9e3, 0.0) - 4e3 * (np.arange(BINS) >= 350)
    content = {"c": counts.astype(float), "v": velocity, "t": times}
    recording = load_recording(mat(tmp_path, content, more='time="t"\ntime_unit="ms"'))
    assert np.flatnonzero(recording.restart).tolist() == [0, 300, 350]
    odd = " | ".join(of_bins(recording))
    assert "a pause of 9.050 s before bin 300" in odd and "time goes back at bin 350, by 3.950 s" in odd
    content["n"] = np.where(np.arange(BINS) % 100 < 10, np.nan, np.arange(BINS) // 100)
    recording = load_recording(mat(tmp_path, content, more='trial="n"'))
    assert np.flatnonzero(recording.trial_start).tolist() == [0, 10, 100, 110, 200, 210, 300, 310]


def test_tables_of_trains_filled_up_with_zeros(tmp_path):
    times = np.arange(2000) / 100.0
    trains = np.zeros((3, 60))
    for unit, row in enumerate(trains):
        row[: 20 * (unit + 1)] = np.linspace(0.5, 19.0, 20 * (unit + 1))
    scipy.io.savemat(
        tmp_path / "s.mat", {"s": trains, "t": times, "p": np.column_stack([np.sin(times), np.cos(times)])}
    )
    (tmp_path / "s.mat.toml").write_text(
        'name="t"\n[spikes]\nvariable="s[*]"\n[bin]\nwidth_s=0.05\n[position]\nvariable="p"\ntime="t"\nunit="m"\n'
    )
    recording = load_recording(tmp_path / "s.mat")
    assert recording.counts.sum(axis=0).tolist() == [20, 40, 60] and recording.counts[0].sum() == 0


def test_what_else_lies_in_an_archive_does_no_harm(tmp_path, made):
    counts, velocity, _ = made
    np.savez(tmp_path / "a.npz", counts=counts, velocity=velocity, bin_s=BIN_S, meta=np.array({"a": 1}, dtype=object))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("README.txt", "made on Monday")
    assert "README.txt" not in Arrays(tmp_path / "a.npz")
    np.testing.assert_array_equal(load_recording(tmp_path / "a.npz").counts, counts)
    told = CliRunner().invoke(glm, ["fit", str(tmp_path / "a.npz"), "--history-bins", "2", "--json"])
    assert told.exit_code == 0 and len(json.loads(told.stdout.splitlines()[-1])["log_likelihood"]) == UNITS


@pytest.mark.parametrize("name", ["monday", "monday.bak", "monday.data"])
def test_a_file_without_its_ending_is_told_which(tmp_path, made, name):
    counts, velocity, _ = made
    with open(tmp_path / name, "wb") as file:
        np.savez(file, counts=counts, velocity=velocity, bin_s=BIN_S)
    for read in (load_recording, read_spikes):
        with pytest.raises(BadInput, match="file does: give it that ending"):
            read(tmp_path / name)


def gdf(folder, text):
    (folder / "s.gdf").write_text(text, encoding="utf-8")
    return folder / "s.gdf"


def test_gdf_tables_with_names_marks_and_other_ticks(tmp_path):
    lines = "\n".join(f"{1 + index % 4} {20 * index}" for index in range(400))
    for head in ("", "\ufeff", "id time\n", "# by hand\nneuron,ms\n"):
        found = read_spikes(gdf(tmp_path, head + lines))
        assert [len(train) for train in found.trains_s] == [100] * 4 and not any("tick" in text for text in found.odd)
    seconds = "\n".join(f"{1 + index % 4} {0.02 * index:.3f}" for index in range(400))
    assert any("what is a tick (--tick-s)?" in text for text in of_spikes(read_spikes(gdf(tmp_path, seconds))))
    assert not any("tick" in text for text in of_spikes(read_spikes(gdf(tmp_path, seconds), tick_s=1.0)))
    for text, words in (
        (lines + "\n3", "'3' has 1 columns"),
        ("\n\n", "no line"),
        ("1 nan\n" * 30, "30 are not, the first is 1 nan"),
        (f"{10**25} 5\n1 6\n", "1 are not"),
        ("1 1e308\n1 2\n", "1 are not"),
    ):
        with pytest.raises(BadInput, match=words):
            read_spikes(gdf(tmp_path, text))


@pytest.mark.parametrize("units", [[], ["1", "1"]])
def test_wanted_units_are_named_once(tmp_path, units):
    file = gdf(tmp_path, "\n".join(f"{1 + index % 4} {20 * index}" for index in range(400)))
    with pytest.raises(BadInput, match="name each wanted unit once"):
        count_spikes(file, 0.05, units)


@pytest.mark.parametrize(
    ("arrays", "more", "words"),
    [
        ({"counts": np.ones((UNITS, BINS), int)}, [], "counts must be transposed"),
        ({"velocity": np.ones((2, BINS))}, [], "velocity must be transposed"),
        ({"velocity": np.ones((BINS - 1, 2))}, [], "counts has 400 bins and velocity 399"),
        ({"velocity": np.full((BINS, 2), "fast")}, [], "must be a table of numbers"),
        ({"velocity": np.full((BINS, 2), 1e300)}, [], "give it in another unit"),
        ({}, ["--ridge", "inf"], "ridge is inf"),
        ({}, ["--tolerance", "nan"], "tolerance is nan"),
        ({}, ["--jobs", "0"], "jobs is 0"),
        ({}, ["--threads", "-1"], "threads is -1"),
        ({}, ["--leads", "3:1", "--covariates", "velocity"], "leads '3:1'"),
    ],
)  # fmt: skip
def test_a_glm_is_not_fitted_to_what_it_cannot_be_fitted_to(tmp_path, made, arrays, more, words):
    counts, velocity, _ = made
    np.savez(tmp_path / "a.npz", **({"counts": counts, "velocity": velocity, "bin_s": BIN_S} | arrays))
    told = CliRunner().invoke(glm, ["fit", str(tmp_path / "a.npz"), "--history-bins", "2", *more])
    assert isinstance(told.exception, BadInput) and words in str(told.exception)


def test_nwb_columns_of_other_units_rates_and_starts(tmp_path):
    pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed (pip install bmi-runtime[nwb])")
    from pynwb.behavior import Position, SpatialSeries

    def written(*series):
        file = pynwb.NWBFile("made", "made", datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))
        rng = np.random.default_rng(1)
        for _ in range(3):
            file.add_unit(spike_times=np.sort(rng.uniform(0, 40, 400)))
        made = [SpatialSeries(name=name, reference_frame="screen", **known) for name, known in series]
        file.create_processing_module("behavior", "made").add(Position(spatial_series=made))
        with pynwb.NWBHDF5IO(str(tmp_path / "s.nwb"), "w") as handle:
            handle.write(file)
        return tmp_path / "s.nwb"

    fast, slow = np.arange(4000) / 100, 2.0 + np.arange(1672) / 44
    x = ("hand_x", {"data": 0.1 * np.sin(fast), "unit": "m", "rate": 100.0})
    y = ("hand_y", {"data": 80 * np.cos(0.7 * slow), "unit": "mm", "timestamps": slow})
    recording = load_recording(written(x, y))
    times = 2.0 + BIN_S * (np.arange(recording.n_bins) + 0.5)
    expected = np.column_stack([0.1 * np.sin(times), 0.08 * np.cos(0.7 * times)])
    assert recording.n_bins >= 755 and recording.position_unit == "m"
    np.testing.assert_allclose(recording.position, expected, atol=2e-3)
    with pytest.raises(BadInput, match="one is in 'm' and one in 'pixels'"):
        load_recording(written(x, ("hand_y", y[1] | {"unit": "pixels"})))
    eye = ("eye_position", {"data": np.column_stack([np.sin(fast), np.cos(fast)]), "unit": "m", "rate": 100.0})
    assert any("not what the subject moves" in text for text in load_recording(written(eye)).odd)
    with pytest.raises(BadInput, match="'eye_position' says that it has nan samples a second"):
        load_recording(written((eye[0], eye[1] | {"rate": float("nan")})))


def test_the_shortest_recording_that_is_taken_is_decoded(tmp_path):
    rng = np.random.default_rng(2)
    np.savez(tmp_path / "a.npz", counts=rng.poisson(2.0, (40, 4)), velocity=rng.normal(size=(40, 2)), bin_s=BIN_S)
    told = CliRunner().invoke(decode, [str(tmp_path / "a.npz"), "--direct", "--json"], catch_exceptions=False)
    facts = json.loads(told.stdout.splitlines()[-1])
    assert told.exit_code == 0 and facts["bins_test"] == 8 and all(np.isfinite(facts["r2_velocity"]))


def test_a_test_part_in_which_nothing_moves_cannot_be_scored(made):
    counts, velocity, _ = made
    still = np.where(np.arange(BINS)[:, None] < 310, velocity, 0.05)
    recording = recording_from_arrays("r", counts, BIN_S, still)
    with pytest.raises(BadInput, match="the 80 bins to decode never changes, so nothing can be scored"):
        recording.to_learn(320)
    assert recording.to_learn(300).n_bins == BINS


@pytest.mark.parametrize("kind", ["masked", "sparse", "lists", "ragged", "masked counts"])
def test_what_somebodys_reader_gives_is_taken_as_it_is_meant(tmp_path, made, monkeypatch, kind):
    counts, velocity, _ = made
    hidden = np.ma.masked_array(velocity, mask=np.zeros_like(velocity, bool))
    hidden[50:60] = np.ma.masked
    behind = np.ma.masked_array(counts, mask=counts < 0)
    behind[3, 2] = np.ma.masked
    given = {
        "masked": {"velocity": hidden},
        "sparse": {"counts": scipy.sparse.csr_array(counts)},
        "lists": {"counts": counts.tolist(), "velocity": velocity.tolist()},
        "ragged": {"counts": [[1], [1, 2]]},
        "masked counts": {"counts": behind},
    }[kind]
    arrays = {"counts": counts, "velocity": velocity, "bin_s": BIN_S} | given
    monkeypatch.setattr(datafile.registry.Table, "names", lambda table: ["lab"])
    monkeypatch.setattr(datafile.registry.Table, "find", lambda table, name: lambda path: arrays)
    (tmp_path / "a.lab").write_text("theirs")
    if kind in ("ragged", "masked counts"):
        with pytest.raises(BadInput, match="the reader 'lab' gave counts" if kind == "ragged" else "unit 2 is nan"):
            load_recording(tmp_path / "a.lab")
        return
    recording = load_recording(tmp_path / "a.lab")
    np.testing.assert_array_equal(recording.counts, counts)
    known = np.isfinite(recording.velocity).all(axis=1)
    assert np.flatnonzero(~known).tolist() == (list(range(50, 60)) if kind == "masked" else [])


@pytest.mark.parametrize("starts", [EVERY_FIFTY, EVERY_FIFTY + 1])
def test_a_mat_file_with_the_names_of_an_npz_file_is_read_and_counts_from_one(tmp_path, made, starts):
    counts, velocity, _ = made
    arrays = {"counts": scipy.sparse.csc_matrix(counts), "velocity": velocity, "bin_s": BIN_S, "trial_start": starts}
    scipy.io.savemat(tmp_path / "ours.mat", arrays)
    recording = load_recording(tmp_path / "ours.mat")
    np.testing.assert_array_equal(recording.counts, counts)
    np.testing.assert_allclose(recording.velocity, velocity)
    assert recording.bin_s == BIN_S and list(np.flatnonzero(recording.trial_start)) == list(EVERY_FIFTY)


@pytest.mark.parametrize("given", ["first", [np.arange(3.0), np.arange(4.0)]], ids=["text", "cell"])
def test_starts_of_a_mat_file_that_are_not_numbers_are_refused(tmp_path, made, given):
    starts = given
    if isinstance(given, list):
        starts = np.empty(2, dtype=object)
        starts[:] = given
    arrays = {"counts": made[0], "velocity": made[1], "bin_s": BIN_S, "trial_start": starts}
    scipy.io.savemat(tmp_path / "ours.mat", arrays)
    with pytest.raises(BadInput, match="trial_start must list bin indices"):
        load_recording(tmp_path / "ours.mat")


MAPPED = """
name = "flat list"
[spikes]
variable = "times"
units = "whose"
time_unit = "{unit}"
[bin]
width_s = 0.05
[velocity]
variable = "velocity"
unit = "m/s"
time = "clock"
time_unit = "{unit}"
"""


@pytest.mark.parametrize(
    ("unit", "scale", "kind"),
    [("ns", 1e9, np.uint64), ("us", 1e6, np.int64), ("ms", 1e3, float), ("s", 1.0, np.float32)],
)
def test_times_in_any_unit_and_kind_of_number_are_the_same_session(tmp_path, made, unit, scale, kind):
    """Single precision had put samples that stand on the edge of a bin into either of its bins."""
    counts, velocity, _ = made
    bins, units = np.nonzero(counts)
    often = counts[bins, units]
    times_s = BIN_S * np.repeat(bins, often) + BIN_S * np.concatenate([(np.arange(n) + 0.5) / n for n in often])
    clock_s = BIN_S * np.arange(BINS)
    origin = 1_700_000_000 * 10**9 if unit == "ns" else 0
    arrays = {"times": (times_s * scale).astype(kind) + kind(origin), "whose": np.repeat(units, often)}
    arrays |= {"clock": np.round(clock_s * scale, 6).astype(kind) + kind(origin), "velocity": velocity}
    np.savez(tmp_path / "flat.npz", **arrays)
    (tmp_path / "flat.npz.toml").write_text(MAPPED.format(unit=unit))
    recording = load_recording(tmp_path / "flat.npz")
    short = min(recording.n_bins, BINS)
    assert short >= BINS - 1
    np.testing.assert_array_equal(recording.counts[:short], counts[:short])
    np.testing.assert_allclose(recording.velocity[:short], velocity[:short], atol=1e-6)


def test_units_that_are_missing_for_a_while_are_refused_by_name_and_bins_of_all_are_left_out(made):
    counts, velocity, _ = made
    gone = counts.astype(float)
    gone[100:200, [2, 5]] = np.nan
    with pytest.raises(BadInput, match=r"200 such values, in units 2, 5: leave them out, or make all units"):
        recording_from_arrays("r", gone, BIN_S, velocity)
    gone[100:200] = np.nan
    recording = recording_from_arrays("r", gone, BIN_S, velocity)
    np.testing.assert_array_equal(recording.counts, np.delete(counts, np.s_[100:200], axis=0))
    assert recording.restart[100] and "100 bins have no counts" in recording.odd[0]


def test_pickled_spike_trains_are_refused_with_the_way_to_keep_them(tmp_path, made):
    trains = np.empty(2, object)
    trains[:] = [np.arange(3.0), np.arange(5.0)]
    np.savez(tmp_path / "objects.npz", spike_times=trains, velocity=made[1])
    with pytest.raises(BadInput, match="save all spike times as one array"):
        load_recording(tmp_path / "objects.npz")
