"""Files of named arrays with spike times, other names, or tables that lie otherwise: the same session every time."""

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from bmi_runtime.cli.inspect import _inspector
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.array_file import Arrays
from bmi_runtime.sources.datafile import load_recording
from bmi_runtime.sources.spike_file import read_spikes

UNITS, SECONDS, RATE_HZ, BIN_S = 6, 40, 1000, 0.05


@pytest.fixture(scope="module")
def made():
    """Return spike times (s) of every unit, sample times (s), positions (m), and their bins."""
    rng = np.random.default_rng(4)
    times = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    position = np.column_stack([0.1 * np.sin(2 * times), 0.08 * np.cos(1.3 * times)])
    dense = rng.random((len(times), UNITS)) < 0.02
    trains = [times[column] + rng.uniform(0, 1e-4, column.sum()) for column in dense.T]
    counts = dense.reshape(-1, int(BIN_S * RATE_HZ), UNITS).sum(axis=1)
    return trains, times, position, counts, position.reshape(-1, int(BIN_S * RATE_HZ), 2).mean(axis=1)


def mapping(folder, spikes, kinematics):
    file = folder / "rig.toml"
    place = f'[position]\nvariable = "xy"\ntime = "t"\n{kinematics}\n'
    file.write_text(f'name = "rig"\n[spikes]\n{spikes}\n[bin]\nwidth_s = {BIN_S}\n{place}')
    return file


def check(recording, made, slack=2, within_m=1e-3):
    """Hold a recording against the session: the same counts but for a bin at the end, the same position."""
    _, _, _, counts, position = made
    bins = recording.n_bins
    assert len(counts) - slack <= bins <= len(counts) and recording.n_units == UNITS
    np.testing.assert_array_equal(recording.counts, counts[:bins])
    np.testing.assert_allclose(recording.position, position[:bins], atol=within_m)


def flat(trains):
    times, units = np.concatenate(trains), np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    order = np.argsort(times)
    return times[order], units[order]


@pytest.mark.parametrize(
    ("said", "scale", "origin"),
    [("s", 1.0, 0.0), ("s", 1.0, 1.7e9), ("ms", 1e3, 0.0), ("us", 1e6, 0.0), ("samples", 30_000.0, 0.0)],
)
def test_one_list_of_spike_times_in_any_unit(tmp_path, made, said, scale, origin):
    trains, times, position, *_ = made
    spikes, units = flat(trains)
    rate = "\nrate_hz = 30000" if said == "samples" else ""
    np.savez(tmp_path / "a.npz", st=(spikes + origin) * scale, unit=units, xy=1e3 * position, t=times + origin)
    where = mapping(tmp_path, f'variable = "st"\nunits = "unit"\ntime_unit = "{said}"{rate}', 'unit = "mm"')
    recording = load_recording(tmp_path / "a.npz", mapping=where)
    check(recording, made)
    assert recording.velocity_unit == "m/s"


def test_cells_of_spike_times_beside_a_slower_and_irregular_position(tmp_path, made):
    trains, times, position, *_ = made
    kept = np.sort(np.random.default_rng(1).choice(len(times), len(times) // 3, replace=False))
    kept[0] = 0
    cells = np.empty((1, UNITS + 3), object)  # three of them without a spike
    cells[0] = [np.zeros((0, 0)), *(train[:, None] for train in trains), np.zeros((0, 0)), np.zeros((1, 0))]
    scipy.io.savemat(tmp_path / "a.mat", {"s": cells, "xy": position[kept].T, "t": times[kept]})
    recording = load_recording(tmp_path / "a.mat", mapping=mapping(tmp_path, 'variable = "s[*]"', 'unit = "m"'))
    check(recording, made, within_m=0.005)  # a third of the samples of a bin have another mean


def test_trials_with_cells_of_their_own_start_again(tmp_path, made):
    trains, times, position, *_ = made
    trial = np.empty((10, 1), object)
    for k in range(10):
        start, stop = 4.0 * k, 4.0 * (k + 1)
        cells = np.empty((UNITS, 1), object)
        cells[:, 0] = [train[(train >= start) & (train < stop)] - start for train in trains]
        rows = (times >= start) & (times < stop)
        trial[k, 0] = {"s": cells, "xy": position[rows], "t": times[rows] - start}
    scipy.io.savemat(tmp_path / "a.mat", {"trial": trial})
    where = tmp_path / "rig.toml"
    where.write_text(
        f'name = "rig"\n[spikes]\nvariable = "trial[*].s[*]"\n[bin]\nwidth_s = {BIN_S}\n'
        '[position]\nvariable = "trial[*].xy"\ntime = "trial[*].t"\nunit = "m"\n'
    )
    recording = load_recording(tmp_path / "a.mat", mapping=where)
    check(recording, made, slack=0)
    assert np.flatnonzero(recording.restart).tolist() == list(range(0, 800, 80))


def test_ragged_trains_in_hdf5(tmp_path, made):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    trains, times, position, *_ = made
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        cells = file.create_dataset("neural/s", (UNITS,), dtype=h5py.vlen_dtype(float))
        for unit, train in enumerate(trains):
            cells[unit] = train
        file["xy"], file["t"] = position, times
    where = mapping(tmp_path, 'variable = "neural/s[*]"', 'unit = "m"')
    check(load_recording(tmp_path / "a.hdf5", mapping=where), made)
    with pytest.raises(BadInput, match=r"neural/s \(6\).*a.hdf5.toml beside it"):
        load_recording(tmp_path / "a.hdf5")


def test_the_layout_of_self_paced_reaching_is_known(tmp_path, made):
    """Five cells a channel of which most are empty, times of hours, the cursor in mm about an origin of its own."""
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    trains, times, position, *_ = made
    with h5py.File(tmp_path / "indy.mat", "w", userblock_size=512) as file:
        kept = file.create_group("#refs#")
        references = np.empty((5, 96), dtype=h5py.ref_dtype)
        for cell in range(480):
            unit, channel = divmod(cell, 96)
            filled = unit == 1 and channel < UNITS
            data = trains[channel][None] + 7000.0 if filled else np.zeros(2, "u8")
            one = kept.create_dataset(f"c{cell}", data=data)
            if not filled:
                one.attrs["MATLAB_empty"] = np.uint8(1)
            references[unit, channel] = one.ref
        file.create_dataset("spikes", data=references, dtype=h5py.ref_dtype)
        file["t"], file["cursor_pos"] = times[None] + 7000.0, 1e3 * position.T + [[30.0], [-20.0]]
    with open(tmp_path / "indy.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    recording = load_recording(tmp_path / "indy.mat")
    np.testing.assert_array_equal(recording.counts, made[3][: recording.n_bins])
    np.testing.assert_allclose(recording.position - [0.03, -0.02], made[4][: recording.n_bins], atol=1e-6)


def test_a_shipped_layout_lies_either_way_and_a_mapping_that_says_otherwise_is_told(tmp_path, made):
    _, _, _, counts, position = made
    for turn, name in ((False, "a.mat"), (True, "b.mat")):
        tables = {"spikes": counts, "handVel": np.gradient(position, BIN_S, axis=0), "handPos": position}
        scipy.io.savemat(tmp_path / name, {key: table.T if turn else table for key, table in tables.items()})
    one, other = (load_recording(tmp_path / name) for name in ("a.mat", "b.mat"))
    np.testing.assert_array_equal(one.counts, other.counts)
    assert one.n_units == UNITS
    where = tmp_path / "rig.toml"
    where.write_text(
        'name = "rig"\n[counts]\nvariable = "spikes"\norder = "units x bins"\n[bin]\nwidth_s = 0.05\n'
        '[position]\nvariable = "handPos"\nunit = "m"\n'
    )
    with pytest.raises(BadInput, match=r"lie the other way.*order = 'bins x units'"):
        load_recording(tmp_path / "a.mat", mapping=where)


@pytest.mark.parametrize(("scale", "said"), [(20.0, "multiple of 20"), (1 / 0.03, "multiple of 33.3333"), (1.0, "")])
def test_rates_in_the_place_of_counts_are_odd(tmp_path, made, scale, said):
    from bmi_runtime.sources.oddities import of_counts

    found = " ".join(of_counts(made[3] * scale))
    assert said in found and ("multiple" in found) == bool(said)


@pytest.mark.parametrize("order", ["units x bins", "bins x units"])
def test_counts_may_lie_one_way_and_kinematics_the_other(tmp_path, made, order):
    _, _, _, counts, position = made
    turned = order == "units x bins"
    tables = {"spk": counts.T if turned else counts, "hand": position if turned else position.T}
    scipy.io.savemat(tmp_path / "a.mat", tables)
    (tmp_path / "a.mat.toml").write_text(
        f'name = "rig"\n[counts]\nvariable = "spk"\norder = "{order}"\n[bin]\nwidth_s = 0.05\n'
        '[position]\nvariable = "hand"\nunit = "m"\n'
    )
    recording = load_recording(tmp_path / "a.mat")
    np.testing.assert_array_equal(recording.counts, counts)
    np.testing.assert_allclose(recording.position, position)


def test_tables_of_trials_and_of_one_unit(tmp_path, made):
    _, _, _, counts, position = made
    np.savez(tmp_path / "a.npz", counts=counts.reshape(8, 100, UNITS), bin_s=0.05, position=position.reshape(8, 100, 2))
    trials = load_recording(tmp_path / "a.npz")
    np.testing.assert_array_equal(trials.counts, counts)
    assert np.flatnonzero(trials.restart).tolist() == list(range(0, 800, 100))
    np.savez(tmp_path / "b.npz", Counts=counts[:, 0], bin_s=np.full(800, 0.05), Position=position)
    np.testing.assert_array_equal(load_recording(tmp_path / "b.npz").counts[:, 0], counts[:, 0])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"st": "ms"}, "hardly share a time .*ms or samples"),
        ({"back": True}, "'t' goes back from 19.999 to 0.000 s"),
        ({"short": True}, "has 39999 times"),
    ],
)
def test_times_that_cannot_be_right(tmp_path, made, arrays, words):
    trains, times, position, *_ = made
    spikes, units = flat(trains)
    if arrays.get("back"):
        times = np.r_[times[:20_000], times[:20_000]]
    times = times[1:] if arrays.get("short") else times
    np.savez(tmp_path / "a.npz", st=spikes * (1e3 if "st" in arrays else 1.0), unit=units, xy=position, t=times)
    with pytest.raises(BadInput, match=words):
        load_recording(tmp_path / "a.npz", mapping=mapping(tmp_path, 'variable = "st"\nunits = "unit"', 'unit = "m"'))


@pytest.mark.parametrize(
    ("spikes", "words"),
    [
        ('variable = "st"', "needs the variable that says whose they are"),
        ('variable = "st[*]"\ntime_unit = "samples"', "need a rate_hz"),
        ('variable = "nothing[*]"', "names 'nothing"),
    ],
)
def test_mappings_that_cannot_be_right(tmp_path, made, spikes, words):
    np.savez(tmp_path / "a.npz", st=made[0][0], xy=made[2], t=made[1])
    with pytest.raises(BadInput, match=words):
        load_recording(tmp_path / "a.npz", mapping=mapping(tmp_path, spikes, 'unit = "m"'))


def test_what_an_npz_lacks_is_said_with_what_it_has(tmp_path, made):
    _, times, _, counts, position = made
    np.savez(tmp_path / "a.npz", spikes=counts, bin_size=0.05, pos=position)
    with pytest.raises(BadInput, match=r"spikes \(800 x 6\); 'bin_size' may be the bin_s"):
        load_recording(tmp_path / "a.npz")
    scipy.sparse.save_npz(tmp_path / "b.npz", scipy.sparse.csr_matrix(counts))
    with pytest.raises(BadInput, match="a sparse matrix by itself"):
        load_recording(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(b"\x80\x05never opened")
    with pytest.raises(BadInput, match="a pickle, which can run any program"):
        load_recording(tmp_path / "c.npz")
    clock = np.column_stack([times[::50], position])
    np.savez(tmp_path / "d.npz", counts=counts, bin_s=0.05, position=clock)
    with pytest.raises(BadInput, match=r"column 0 of position grows by 0.05 .* a clock, not a movement"):
        load_recording(tmp_path / "d.npz")


def test_an_hdf5_file_is_known_by_what_is_in_it(tmp_path, made):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["counts"], file["position"], file.attrs["bin_s"] = made[3], made[4], 0.05
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["spikes"], file["sCount"] = np.concatenate(made[0]), [len(train) for train in made[0]]
    np.testing.assert_array_equal(load_recording(tmp_path / "a.h5").counts, made[3])
    assert _inspector(tmp_path / "a.h5").endswith("inspect_bins")
    assert _inspector(tmp_path / "b.h5").endswith("inspect_spikes")
    assert set(Arrays(tmp_path / "b.h5")) == {"spikes", "sCount"}


def test_gdf_tables_of_either_order_and_any_separator(tmp_path, made):
    spikes, units = flat(made[0])
    rows = [(unit + 1, round(1e3 * time)) for time, unit in zip(spikes, units, strict=True)]
    rows.sort(key=lambda row: row[1])
    texts = {
        "a.gdf": "\n".join(f"{unit} {time}" for unit, time in rows),
        "b.gdf": "\n".join(f"{time}\t{unit}" for unit, time in rows),
        "c.gdf": "# sender, time\n" + "\n".join(f"{unit},{time}.0" for unit, time in rows),
    }
    read = {}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        read[name] = read_spikes(tmp_path / name)
    for found in read.values():
        assert [len(train) for train in found.trains_s] == [len(train) for train in made[0]]
        np.testing.assert_allclose(found.trains_s[0], read["a.gdf"].trains_s[0])
    assert any("taken for time and identifier" in sentence for sentence in read["b.gdf"].odd)
    assert not read["a.gdf"].odd


def test_a_short_task_within_a_long_recording_is_decoded_and_said(tmp_path, made):
    """Forty seconds of a hand beside most of an hour of spikes are no milliseconds."""
    trains, times, position, *_ = made
    night = np.sort(np.random.default_rng(8).uniform(SECONDS + 1.0, 3600.0, 80_000))
    spikes, units = flat([*trains[:-1], np.concatenate([trains[-1], night])])
    np.savez(tmp_path / "a.npz", st=spikes, unit=units, xy=position, t=times)
    where = mapping(tmp_path, 'variable = "st"\nunits = "unit"', 'unit = "m"')
    recording = load_recording(tmp_path / "a.npz", mapping=where)
    check(recording, made)
    assert any("spikes lie within the time of the kinematics" in text for text in recording.odd)
