"""Export and back: the same numbers, and no error of the format's own inspector."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime import config as configuration
from bmi_runtime.cli.export import export
from bmi_runtime.cli.inspect import inspect
from bmi_runtime.errors import BadInput
from bmi_runtime.recording.nwb import export_nwb
from bmi_runtime.recording.nwb_data import spike_times
from bmi_runtime.recording.reader import Recording
from bmi_runtime.recording.tables import export_tables
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from bmi_runtime.sources.datafile import load_recording

pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed (pip install bmi-runtime[nwb])")
WHO = {
    "subject_id": "P3",
    "species": "Homo sapiens",
    "sex": "F",
    "age": "P60Y/P65Y",
    "experimenter": ["Doe, Jane", "Roe, Richard"],
    "lab": "Movement",
    "institution": "Uni",
    "session_description": "Evening block",
    "notes": "left hand rested",
}
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:hdmf"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "a.mcap"
    overrides = [f"recording.path='{path}'", "session.units=12", "recording.snapshot_s=2.0"]
    overrides += [f"metadata.{key}={json.dumps(value)}" for key, value in WHO.items()]
    loop = assemble(configuration.load(None, overrides), "max")
    loop.on_bin = lambda loop: loop.handle({"set": "task.assist", "value": 0.2}) if loop.session.bins == 500 else None
    launch.run(loop, 3000)
    return Recording(path)


@pytest.fixture(scope="module")
def exported(recording, tmp_path_factory):
    path = tmp_path_factory.mktemp("nwb") / "a.nwb"
    return path, export_nwb(recording, path)


def test_the_inspector_finds_no_error(exported):
    inspector = pytest.importorskip("nwbinspector", reason="nwbinspector is not installed")
    worst = inspector.Importance.BEST_PRACTICE_VIOLATION
    found = list(inspector.inspect_nwbfile(nwbfile_path=str(exported[0]), importance_threshold=worst))
    assert [f"{message.check_function_name}: {message.message}" for message in found] == []


def test_the_numbers_come_back(recording, exported):
    path, counted = exported
    steps = recording.steps()
    assert counted["bins"] == 3000
    with pynwb.NWBHDF5IO(str(path), "r") as file:
        nwb = file.read()
        counts = nwb.processing["ecephys"]["binned_counts"]
        assert np.array_equal(counts.data[:], steps["input"]["counts"])
        assert counts.rate == pytest.approx(200.0)
        position = nwb.processing["behavior"]["Position"]
        for name in ("cursor", "decoded", "target"):
            assert np.array_equal(position[name].data[:], steps["output"][name][:, :2])
        velocity = nwb.processing["behavior"]["decoded_velocity"].data[:]
        assert np.array_equal(velocity, steps["output"]["decoded"][:, 2:])
        edges = np.arange(3001) * 0.005
        for unit in range(12):
            times = nwb.units["spike_times"][unit]
            assert np.array_equal(np.histogram(times, edges)[0], steps["input"]["counts"][:, unit])
        assert counted["spikes"] == steps["input"]["counts"].sum()
        assert len(nwb.trials) == counted["trials"] == int(steps["output"]["successes"][-1])
        assert set(nwb.trials["result"][:]) == {"success"}
        model = nwb.processing["misc"]["encoding_model"]
        snapshots = [message for _, message in recording.messages("snapshot")]
        assert np.array_equal(model["weights"][-1], snapshots[-1]["model"]["weights"])
        events = nwb.processing["misc"]["events"].to_dataframe()
        command = events[events["event"] == "command"].iloc[0]
        assert command["bin"] == 500
        assert command["detail"] == 'set: "task.assist"; old: 0.0; new: 0.2'
        about = json.loads(nwb.data_collection)
        assert about["configuration"]["session"]["units"] == 12
        assert about["provenance"]


def subject_of(path):
    with pynwb.NWBHDF5IO(str(path), "r") as file:
        nwb = file.read()
        who = nwb.subject
        subject = None if who is None else {key: getattr(who, key) for key in ("subject_id", "species", "sex", "age")}
        return subject, {key: getattr(nwb, key) for key in ("experimenter", "lab", "institution", "notes")}


def test_what_was_said_of_the_subject_is_exported_and_nothing_else(recording, exported, tmp_path):
    subject, session = subject_of(exported[0])
    assert subject == {key: WHO[key] for key in subject}
    assert session == {"experimenter": tuple(WHO["experimenter"])} | {
        k: WHO[k] for k in ("lab", "institution", "notes")
    }
    assert exported[1]["missing_metadata"] == []
    result = export_nwb(recording, tmp_path / "b.nwb", {"subject_id": "P4", "sex": "M"})
    assert subject_of(result["path"])[0] == {
        "subject_id": "P4",
        "species": "Homo sapiens",
        "sex": "M",
        "age": WHO["age"],
    }


def test_of_an_unknown_subject_nothing_is_invented(tmp_path, bmi):
    path = tmp_path / "a.mcap"
    launch.run(assemble(configuration.load(None, [f"recording.path='{path}'", "session.units=2"]), "max"), 40)
    result = bmi("export", str(path), "--json")
    facts = json.loads(result.stdout.splitlines()[-1])
    assert facts["missing_metadata"] == ["subject_id", "species", "sex", "age", "experimenter", "lab", "institution"]
    assert subject_of(facts["path"])[0] is None
    assert b"Macaca" not in (tmp_path / "a.nwb").read_bytes()
    assert "archives such as DANDI require: subject_id" in result.stderr
    (tmp_path / "who.toml").write_text('subject_id = 12\nspecies = "Macaca mulatta"\n')
    arguments = [str(path), "-o", str(tmp_path / "c.nwb"), "--subject", str(tmp_path / "who.toml"), "--json"]
    facts = json.loads(CliRunner().invoke(export, arguments).stdout.splitlines()[-1])
    assert subject_of(facts["path"])[0] == {"subject_id": "12", "species": "Macaca mulatta", "sex": None, "age": None}


def test_neo_opens_what_was_exported(exported):
    neo = pytest.importorskip("neo", reason="neo is not installed (pip install bmi-runtime[nwb])")
    (block,) = neo.io.NWBIO(str(exported[0]), "r").read_all_blocks()
    assert sum(len(train) for train in block.segments[0].spiketrains) == exported[1]["spikes"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('age = "7 years"', "ISO 8601 duration"),
        ('age = "P"', "ISO 8601 duration"),
        ('sex = "male"', "metadata.sex"),
        ('specis = "Homo sapiens"', "the nearest valid key is 'metadata.species'"),
        ("subject_id = ", "not readable as TOML"),
    ],
)
def test_metadata_that_is_none_is_named(tmp_path, text, words):
    (tmp_path / "who.toml").write_text(f"[metadata]\n{text}\n")
    with pytest.raises(BadInput, match=words):
        configuration.read_metadata(tmp_path / "who.toml")


def test_tables_come_back(recording, tmp_path):
    parquet = pytest.importorskip(
        "pyarrow.parquet", reason="pyarrow is not installed (pip install bmi-runtime[tables])"
    )
    result = export_tables(recording, tmp_path / "tables")
    bins = parquet.read_table(tmp_path / "tables" / "bins.parquet")
    steps = recording.steps()
    assert bins.num_rows == result["bins"] == 3000
    assert np.array_equal(bins["cursor_x"].to_numpy(), steps["output"]["cursor"][:, 0])
    assert np.array_equal(np.array(bins["counts"].to_pylist()), steps["input"]["counts"])
    assert json.loads(bins.schema.metadata[b"config"])["session"]["units"] == 12
    trials = parquet.read_table(tmp_path / "tables" / "trials.parquet").to_pylist()
    assert [trial["result"] for trial in trials] == ["success"] * result["trials"]
    with pytest.raises(BadInput, match="exists"):
        export_tables(recording, tmp_path / "tables")


def test_nothing_is_written_over(recording, exported):
    with pytest.raises(BadInput, match="exists"):
        export_nwb(recording, exported[0])


def test_spikes_of_one_bin_are_spread_inside_it():
    times = spike_times(np.array([0, 2, 1]), np.array([0.01, 0.02, 0.03]), 0.01)
    assert times == pytest.approx([0.0125, 0.0175, 0.025])


def test_a_continuous_session_exports_its_features(tmp_path):
    overrides = [f"recording.path='{tmp_path / 'g.mcap'}'", "session.units=5", "session.likelihood=gaussian"]
    launch.run(assemble(configuration.load(None, overrides), "max"), 100)
    recording = Recording(tmp_path / "g.mcap")
    export_nwb(recording, tmp_path / "g.nwb")
    with pynwb.NWBHDF5IO(str(tmp_path / "g.nwb"), "r") as file:
        features = file.read().processing["ecephys"]["features"].data[:]
    assert np.array_equal(features, recording.steps()["input"]["counts"])


def test_a_session_without_a_spike_exports(tmp_path):
    silent = ["population.baseline_hz=[1e-6, 1e-6]", "population.depth=[0.0, 0.0]", "session.units=3"]
    launch.run(assemble(configuration.load(None, [f"recording.path='{tmp_path / 's.mcap'}'", *silent]), "max"), 30)
    assert export_nwb(Recording(tmp_path / "s.mcap"), tmp_path / "s.nwb")["spikes"] == 0
    with pynwb.NWBHDF5IO(str(tmp_path / "s.nwb"), "r") as file:
        assert [len(file.read().units["spike_times"][unit]) for unit in range(3)] == [0, 0, 0]


def session_of(folder, *settings, bins=600):
    made = [f"recording.path='{folder / 's.mcap'}'", "session.units=6", "telemetry.enabled=false", *settings]
    launch.run(assemble(configuration.load(None, made), "max"), bins)
    export_nwb(Recording(folder / "s.mcap"), folder / "s.nwb")
    return folder / "s.nwb"


@pytest.mark.filterwarnings("error::hdmf.build.warnings.BuildWarning")
def test_axes_of_other_units_and_more_than_three_are_said_as_they_are(tmp_path):
    """A joint angle is not in metres, and the standard's spatial series has at most three columns."""
    path = session_of(tmp_path, "state.axes=['a','b','c','d']", "state.units=['rad','rad','rad','mm']")
    with pynwb.NWBHDF5IO(str(path), "r") as file:
        behavior = file.read().processing["behavior"]
        assert behavior["Position"]["cursor"].unit == "rad, rad, rad, mm"
        assert behavior["Position"]["cursor"].data.shape == (600, 4)
        assert behavior["decoded_velocity"].unit == "rad/s, rad/s, rad/s, mm/s"
        assert behavior["decoded_variance"].unit == "rad^2, rad^2, rad^2, mm^2, " + "rad^2/s^2, " * 3 + "mm^2/s^2"
    assert load_recording(path).n_bins > 0


def test_features_are_no_spikes(tmp_path):
    path = session_of(tmp_path, "session.units=0", "session.features=5")
    told = CliRunner().invoke(inspect, [str(path), "--json"], catch_exceptions=False)
    facts = json.loads(told.stdout.splitlines()[-1])
    assert facts["spikes"] is None and facts["rates_hz"] == {} and facts["units"] == 5
    assert "features" in facts["format"] and "counts" not in facts["format"]
