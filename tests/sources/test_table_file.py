"""Tables of text and Parquet through a mapping: the numbers that stand in them, whoever wrote it."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.cli.inspect import inspect
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.datafile import load_recording
from bmi_runtime.sources.mapping import load_mapping
from bmi_runtime.sources.table_file import Table

BINS, UNITS = 120, 5
RNG = np.random.default_rng(4)
COUNTS = RNG.poisson(2.0, (BINS, UNITS))
POSITION = np.cumsum(RNG.normal(0, 0.4, (BINS, 2)), 0)  # cm
BINNED = """
name = "rows are bins"
[counts]
variable = "unit_*"
[bin]
width_s = 0.02
time = "t"
time_unit = "ms"
trial = "trial"
[position]
variables = ["x", "y"]
unit = "cm"
"""
SPIKES = """
name = "a list of spikes beside a table of the hand"
[spikes]
variable = "time"
units = "unit"
time_unit = "ms"
[bin]
width_s = 0.05
[position]
variables = ["hand.csv:px", "hand.csv:py"]
unit = "mm"
time = "hand.csv:time (s)"
"""


def rows():
    """Return the names and the cells of a table: time in ms, trial, units, position in cm."""
    names = ["t", "trial", *(f"unit_{k}" for k in range(UNITS)), "x", "y"]
    cells = [
        [f"{50 * k}", f"reach {k // 40}", *map(str, COUNTS[k]), *(f"{value:.6f}" for value in POSITION[k])]
        for k in range(BINS)
    ]
    return names, cells


def written(path, separator, decimal=".", quote="", end="\n", encoding="utf-8", head=""):
    """Write the table as somebody's program would, with its mapping beside it; return its path."""
    names, cells = rows()
    lines = [separator.join(f"{quote}{name}{quote}" for name in names)]
    lines += [separator.join(cell.replace(".", decimal) for cell in row) for row in cells]
    path.write_bytes((head + end.join(lines) + end).encode(encoding))
    path.with_name(f"{path.name}.toml").write_text(BINNED)
    return path


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("a.csv", {"separator": ","}),
        ("b.tsv", {"separator": "\t"}),
        ("c.csv", {"separator": ";", "decimal": ",", "end": "\r\n", "encoding": "utf-8-sig"}),
        ("d.csv", {"separator": ",", "quote": '"', "end": "\r\n"}),
        ("e.csv", {"separator": "\t", "encoding": "utf-16"}),
        ("f.csv", {"separator": ",", "head": "# exported from the rig, 5 units\n\n"}),
    ],
)
def test_rows_are_bins(tmp_path, name, more):
    recording = load_recording(written(tmp_path / name, **more))
    np.testing.assert_array_equal(recording.counts, COUNTS)
    np.testing.assert_allclose(recording.position, POSITION * 0.01, atol=1e-8)
    assert recording.bin_s == 0.05 and (recording.position_unit, recording.velocity_unit) == ("m", "m/s")
    assert np.flatnonzero(recording.trial_start).tolist() == np.flatnonzero(recording.restart).tolist() == [0, 40, 80]


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    names, cells = rows()
    columns = {name: [row[k] if name == "trial" else float(row[k]) for row in cells] for k, name in enumerate(names)}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    (tmp_path / "a.parquet.toml").write_text(BINNED)
    recording = load_recording(tmp_path / "a.parquet")
    np.testing.assert_array_equal(recording.counts, COUNTS)
    np.testing.assert_allclose(recording.position, POSITION * 0.01, atol=1e-8)


def test_a_list_of_spikes_beside_a_table_of_the_hand(tmp_path):
    """Two units, one of them a word; the hand at 100 Hz in a file of its own, with a sample missing."""
    times_ms = np.sort(RNG.uniform(0, 10_000, 3000))
    units = np.where(RNG.random(3000) < 0.3, "ch7 a", "ch12 b")
    spikes = "time,unit\n" + "".join(f"{t:.3f},{unit}\n" for t, unit in zip(times_ms, units))
    (tmp_path / "spikes.csv").write_text(spikes)
    at = np.arange(1001) * 0.01
    hand = np.c_[100 * np.sin(at), 50 * np.cos(at)]
    cells = [f"{t:.2f};{x:.5f};{y:.5f}" for t, (x, y) in zip(at, hand)]
    cells[300] = "3.00;NA;"
    (tmp_path / "hand.csv").write_text("time (s);px;py\n" + "\n".join(cells).replace(".", ","))
    (tmp_path / "spikes.csv.toml").write_text(SPIKES)
    recording = load_recording(tmp_path / "spikes.csv")
    expected = [np.histogram(times_ms[units == u] * 1e-3, np.arange(201) * 0.05)[0] for u in ("ch12 b", "ch7 a")]
    np.testing.assert_array_equal(recording.counts[:200].T, expected)
    middle = (np.arange(len(recording.counts)) + 0.5) * 0.05 - 0.005
    np.testing.assert_allclose(
        recording.position[:200, 0], 0.1 * np.sin(middle[:200]), atol=6e-4
    )  # one sample is missing


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the file is empty"),
        ("a,b\n", "a table without rows"),
        ("1,2\n3,4\n", "holds no names of columns"),
        ("a,b\n1,2\n\n3\n", "line 4 has 1 columns, and there are 2 names"),
        ("a,a\n1,2\n", "two columns are called 'a'"),
        ("time,unit_0,unit_1,vx\n1,2,3,4\n", r"variable = 'unit_\*'"),
        ('a,b\n"1,2\n', "line 2"),
    ],
)
def test_a_table_that_cannot_be_taken_says_why(tmp_path, text, sentence):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(BadInput, match=sentence):
        load_recording(tmp_path / "a.csv")


def test_a_column_that_is_not_there_is_named(tmp_path):
    path = written(tmp_path / "a.csv", ",")
    path.with_name("a.csv.toml").write_text(BINNED.replace('"x", "y"', '"x", "../secret.csv:y"'))
    with pytest.raises(
        BadInput, match=r"the mapping names \.\./secret\.csv:y, which it does not have; it is a table of 120 rows"
    ):
        load_recording(path)
    assert set(Table(path)["x"].shape) == {BINS, 1}


def test_inspect_takes_it(tmp_path):
    path = written(tmp_path / "a.csv", ",")
    said = CliRunner().invoke(inspect, [str(path), "--json"], catch_exceptions=False, standalone_mode=False)
    facts = json.loads(said.stdout.strip().splitlines()[-1])
    assert (facts["bins"], facts["units"], facts["trial_starts"]) == (BINS, UNITS, 3)


@pytest.mark.parametrize(
    ("line", "wrong", "told"),
    [
        ('variable = "unit_*"', 'variables = "unit_*"', "there is no key 'counts.variables'; did you mean 'variable'?"),
        ("[bin]", "[bins]", "there is no key 'bins'; did you mean 'bin'?"),
        ('unit = "cm"', 'unit = "cm"\nhue = 1', "there is no key 'position.hue'; choose from variable, variables, "),
        ('variables = ["x", "y"]', 'columns = "xy"', "position.columns: input should be a list"),
    ],
)
def test_a_key_that_no_mapping_has_is_told_with_the_nearest(tmp_path, line, wrong, told):
    (tmp_path / "map.toml").write_text(BINNED.replace(line, wrong))
    with pytest.raises(BadInput) as refusal:
        load_mapping(tmp_path / "map.toml")
    assert told in str(refusal.value) and "extra inputs" not in str(refusal.value)
