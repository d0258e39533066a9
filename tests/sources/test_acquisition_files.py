"""`bmi inspect` on files of acquisition systems, each written here, byte by byte, after its published layout."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.cli.inspect import inspect
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.datafile import load_recording

neo = pytest.importorskip("neo", reason="neo is not installed (pip install bmi-runtime[nwb])")

RATE_HZ = 30_000


def facts_of(path):
    result = CliRunner().invoke(inspect, [str(path), "--json"])
    if isinstance(result.exception, BadInput):
        raise result.exception
    assert result.exception is None, result.exception
    CliRunner().invoke(inspect, [str(path)], catch_exceptions=False)  # the view for a person
    return json.loads(result.stdout.splitlines()[-1])


def spike_glx(folder, seconds=2):
    """Four channels of a Neuropixels 1.0 probe and the sync word, as SpikeGLX saves them: .meta beside .bin."""
    channels, samples = 5, seconds * RATE_HZ
    data = np.random.default_rng(1).integers(-200, 200, size=(samples, channels)).astype("<i2")
    binary = folder / "rig_g0_t0.imec0.ap.bin"
    data.tofile(binary)
    table = "(0,384)" + "".join(f"({number} 0 0 500 250 1)" for number in range(4))
    places = "(4,0,1)" + "".join(f"(AP{n};{n}:{n})" for n in range(4)) + "(SY0;384:4)"
    lines = {
        "typeThis": "imec",
        "fileName": str(binary),
        "fileSizeBytes": data.nbytes,
        "nSavedChans": channels,
        "snsApLfSy": "4,0,1",
        "imSampRate": RATE_HZ,
        "imAiRangeMax": 0.6,
        "imDatPrb_pn": "NP1010",
        "firstSample": 0,
        "~imroTbl": table,
        "~snsChanMap": places,
    }
    binary.with_suffix(".meta").write_text("\n".join(f"{key}={value}" for key, value in lines.items()) + "\n")
    return binary


def test_spike_glx_by_folder_and_by_file(tmp_path):
    binary = spike_glx(tmp_path)
    for path in (tmp_path, binary, binary.with_suffix(".meta")):
        facts = facts_of(path)
        assert facts["format"] == "SpikeGLX (neo)"
        assert (facts["units"], facts["recorded_s"]) == (0, 2.0)
        assert sum("30000 Hz, uV" in signal for signal in facts["signals"]) >= 4


CHANNEL = (
    f"-SamplingFrequency {RATE_HZ}",
    "-ADBitVolts 0.000000061035",
    "-NumADChannels 1",
    "-ADChannel 0",
    "-InputRange 2000",
    "-InputInverted True",
)


def neuralynx_header(kind, name, **more):
    """Return the 16 kB of text that every Neuralynx file begins with."""
    lines = [
        "######## Neuralynx Data File Header",
        f"-FileType {kind}",
        "-FileVersion 3.4",
        f"-RecordSize {more.pop('record')}",
        "-TimeCreated 2020/01/02 10:11:12",
        "-TimeClosed 2020/01/02 10:12:12",
        '-ApplicationName Cheetah "6.3.2"',
        "-AcquisitionSystem AcqSystem1 DigitalLynxSX",
        f"-AcqEntName {name}",
        *(CHANNEL if kind != "Event" else ()),
        *(f"-{key} {value}" for key, value in more.items()),
    ]
    return "\r\n".join(lines).encode("latin-1").ljust(16_384, b"\0")


def neuralynx(folder):
    """A continuous channel of two seconds, an electrode with two sorted units, and an event file."""
    blocks = 2 * RATE_HZ // 512
    record = np.dtype(
        [("time_us", "<u8"), ("channel", "<u4"), ("rate", "<u4"), ("valid", "<u4"), ("samples", "<i2", (512,))]
    )
    blocked = np.zeros(blocks, record)
    blocked["time_us"] = 1_000_000 + np.round(np.arange(blocks) * 512 * 1e6 / RATE_HZ)
    blocked["rate"], blocked["valid"] = RATE_HZ, 512
    (folder / "CSC1.ncs").write_bytes(neuralynx_header("NCS", "CSC1", record=1044) + blocked.tobytes())
    spike = np.dtype(
        [("time_us", "<u8"), ("channel", "<u4"), ("unit", "<u4"), ("features", "<i4", (8,)), ("wave", "<i2", (32,))]
    )
    spikes = np.zeros(90, spike)
    spikes["time_us"] = 1_000_000 + 20_000 * np.arange(90)
    spikes["unit"] = 1 + (np.arange(90) % 3 == 0)
    (folder / "SE1.nse").write_bytes(neuralynx_header("Spike", "SE1", record=112, WaveformLength=32) + spikes.tobytes())
    tetrode = np.dtype(
        [("time_us", "<u8"), ("channel", "<u4"), ("unit", "<u4"), ("features", "<i4", (8,)), ("wave", "<i2", (32, 4))]
    )
    quad = np.zeros(25, tetrode)
    quad["time_us"], quad["unit"] = 1_000_000 + 50_000 * np.arange(25), 1
    header = _four_channels(neuralynx_header("Spike", "TT1", record=304, WaveformLength=32))
    (folder / "TT1.ntt").write_bytes(header + quad.tobytes())
    event = np.dtype(
        [("head", "<i2", (3,)), ("time_us", "<u8"), ("id", "<i2"), ("ttl", "<i2"), ("rest", "<i2", (3,)),
         ("extra", "<i4", (8,)), ("text", "S128")]
    )  # fmt: skip
    events = np.zeros(7, event)
    events["time_us"], events["id"] = 1_100_000 + 100_000 * np.arange(7), 11
    (folder / "Events.nev").write_bytes(neuralynx_header("Event", "Events", record=184) + events.tobytes())
    return [60, 30, 25]


def _four_channels(header):
    """Return a header with four channels in place of one."""
    for one, many in (
        (b"-NumADChannels 1", b"-NumADChannels 4"),
        (b"-ADChannel 0", b"-ADChannel 0 1 2 3"),
        (b"-ADBitVolts 0.000000061035", b"-ADBitVolts" + 4 * b" 0.000000061035"),
        (b"-InputRange 2000", b"-InputRange 2000 2000 2000 2000"),
    ):
        header = header.replace(one, many)
    return header[:16_384]


def test_neuralynx_by_folder_and_by_file(tmp_path):
    counts = neuralynx(tmp_path)
    whole = facts_of(tmp_path)
    assert whole["format"] == "Neuralynx (neo)"
    assert (whole["units"], whole["spikes"]) == (3, 115)
    assert sorted(round(rate * whole["recorded_s"]) for rate in whole["rates_hz"].values()) == sorted(counts)
    assert sum(whole["events"].values()) == 7
    assert any("CSC1: 30000 Hz" in signal for signal in whole["signals"])
    tetrode = facts_of(tmp_path / "TT1.ntt")
    assert (tetrode["format"], tetrode["units"], tetrode["spikes"]) == ("Neuralynx (neo)", 1, 25)
    alone = facts_of(tmp_path / "CSC1.ncs")
    assert (alone["format"], alone["units"]) == ("Neuralynx (neo)", 0)
    assert alone["recorded_s"] == pytest.approx(2.0, abs=0.03)


def plexon(path, slow=()):
    """Two channels, one unit on the first and two on the second, strobed events: a .plx of version 106.

    With `slow`, columns of int16 at 1 kHz, they stand beside it as continuous channels AD01, AD02, in pieces of 500.
    """
    channel = np.dtype(
        [("Name", "S32"), ("SIGName", "S32"), ("Channel", "<i4"), ("ints", "<i4", (8,)), ("Template", "<u2", (320,)),
         ("Fit", "<i4", (5,)), ("SortWidth", "<i4"), ("Boxes", "<u2", (40,)), ("SortBeg", "<i4"), ("Comment", "S128"),
         ("Padding", "<i4", (11,))]
    )  # fmt: skip
    event_head = np.dtype([("Name", "S32"), ("Channel", "<i4"), ("Comment", "S128"), ("Padding", "<i4", (33,))])
    block = np.dtype([("type", "<u2"), ("upper", "<u2"), ("time", "<u4"), ("channel", "<u2"), ("unit", "<u2"),
                      ("waves", "<u2"), ("words", "<u2")])  # fmt: skip
    head = np.zeros(1, np.dtype([("magic", "<u4"), ("version", "<i4"), ("comment", "S128"), ("ints", "<i4", (14,)),
                                 ("last", "<f8"), ("bytes", "u1", (4,)), ("mv", "<u2", (3,)), ("software", "S46"),
                                 ("counts", "<i4", (650 + 650 + 512,))]))  # fmt: skip
    head["magic"], head["version"] = 0x58454C50, 106
    head["ints"][0] = [RATE_HZ, 2, 1, len(slow), 32, 8, 2020, 1, 2, 3, 4, 5, 0, RATE_HZ]
    head["bytes"], head["mv"] = [1, 1, 12, 12], [3000, 5000, 1000]
    slow_head = np.dtype([("Name", "S32"), ("ints", "<i4", (6,)), ("Comment", "S128"), ("SrcId", "u1"),
                          ("reserved", "u1"), ("ChanId", "<u2"), ("Padding", "<i4", (27,))])  # fmt: skip
    slow_heads = np.zeros(len(slow), slow_head)
    slow_heads["Name"] = [f"AD{n + 1:02}".encode() for n in range(len(slow))]
    slow_heads["ints"] = [[n, 1000, 1, 1, 1, 0] for n in range(len(slow))] or np.zeros((0, 6))
    channels, heads = np.zeros(2, channel), np.zeros(1, event_head)
    channels["Name"], channels["Channel"] = [b"sig001", b"sig002"], [1, 2]
    channels["ints"][:, 3] = 1
    heads["Name"], heads["Channel"] = b"Strobed", 257
    blocks = [(1, 0, 600 * n, 1, 1, 0, 0) for n in range(1, 101)]
    blocks += [(1, 0, 900 * n, 2, 1 + n % 2, 0, 0) for n in range(1, 67)]
    blocks += [(4, 0, 6000 * n, 257, n, 0, 0) for n in range(1, 6)]
    data = np.array(sorted(blocks, key=lambda one: one[2]), block)
    head["last"] = data["time"].max()
    counts = np.zeros((130, 5), "<i4")
    counts[1, 1], counts[2, 1], counts[2, 2] = 100, 33, 33
    head["counts"][0, :650] = head["counts"][0, 650:1300] = counts.ravel()
    head["counts"][0, 1300 + 257] = 5
    pieces = [
        np.array([(5, 0, 30 * first, n, 0, 1, 500)], block).tobytes() + column[first : first + 500].tobytes()
        for n, column in enumerate(slow)
        for first in range(0, len(column), 500)
    ]
    named = head.tobytes() + channels.tobytes() + heads.tobytes() + slow_heads.tobytes()
    path.write_bytes(named + b"".join(pieces) + data.tobytes())


def test_plexon(tmp_path):
    plexon(tmp_path / "made.plx")
    facts = facts_of(tmp_path / "made.plx")
    assert facts["format"] == "Plexon (neo)"
    assert (facts["units"], facts["spikes"]) == (3, 166)
    assert sorted(round(rate * facts["recorded_s"]) for rate in facts["rates_hz"].values()) == [33, 33, 100]
    assert facts["events"] == {"Strobed": 5}


def test_plexon_with_the_hand_on_slow_channels(tmp_path):
    at = np.arange(2500) / 1000
    hand_m = np.column_stack([0.1 * np.sin(2 * at), 0.08 * np.cos(1.4 * at)])
    plexon(tmp_path / "made.plx", [np.round(column * 10_000).astype("<i2") for column in hand_m.T])
    (tmp_path / "made.plx.toml").write_text(
        'name = "x"\n[bin]\nwidth_s = 0.05\n[position]\nchannels = ["AD01", "AD02"]\nunit = "cm"\n'
        f"scale = {0.01 * 2048 / 5000}\n"
    )
    assert [signal.split(":")[0] for signal in facts_of(tmp_path / "made.plx")["signals"]] == ["AD01", "AD02"]
    recording = load_recording(tmp_path / "made.plx")
    centres = 0.05 * (np.arange(recording.n_bins) + 0.5) - 0.0005
    truth = np.column_stack([0.1 * np.sin(2 * centres), 0.08 * np.cos(1.4 * centres)])
    np.testing.assert_allclose(recording.position, truth, atol=2e-4)
    assert recording.n_bins >= 40 and recording.counts.sum() > 100


def open_ephys(folder, seconds=1):
    """Three continuous channels and TTL events in the Open Ephys binary format."""
    recording = folder / "Record Node 101" / "experiment1" / "recording1"
    stream, ttl = recording / "continuous" / "Rig-100.A", recording / "events" / "Rig-100.A" / "TTL"
    for made in (stream, ttl):
        made.mkdir(parents=True)
    samples = seconds * RATE_HZ
    np.random.default_rng(2).integers(-500, 500, size=(samples, 3)).astype("<i2").tofile(stream / "continuous.dat")
    np.save(stream / "sample_numbers.npy", np.arange(samples))
    np.save(stream / "timestamps.npy", np.arange(samples) / RATE_HZ)
    np.save(ttl / "sample_numbers.npy", np.array([100, 4000, 9000, 12_000]))
    np.save(ttl / "timestamps.npy", np.array([100, 4000, 9000, 12_000]) / RATE_HZ)
    np.save(ttl / "states.npy", np.array([1, -1, 1, -1], np.int16))
    np.save(ttl / "full_words.npy", np.zeros(4, np.uint64))
    channels = [{"channel_name": f"CH{n}", "bit_volts": 0.195, "units": "uV"} for n in (1, 2, 3)]
    about = {
        "GUI version": "0.6.7",
        "continuous": [
            {"folder_name": "Rig-100.A/", "sample_rate": RATE_HZ, "stream_name": "A", "source_processor_name": "Rig",
             "source_processor_id": 100, "recorded_processor": "Record Node", "recorded_processor_id": 101,
             "num_channels": 3, "channels": channels}
        ],
        "events": [
            {"folder_name": "Rig-100.A/TTL/", "channel_name": "TTL", "sample_rate": RATE_HZ, "stream_name": "A",
             "source_processor": "Rig", "type": "int16", "num_channels": 8, "initial_state": 0}
        ],
        "spikes": [],
    }  # fmt: skip
    (recording / "structure.oebin").write_text(json.dumps(about))
    (folder / "Record Node 101" / "settings.xml").write_text("<SETTINGS/>")
    return recording / "structure.oebin"


def test_open_ephys_by_folder_and_by_file(tmp_path):
    structure = open_ephys(tmp_path)
    for path in (tmp_path, structure):
        facts = facts_of(path)
        assert facts["format"] == "OpenEphysBinary (neo)"
        assert (facts["units"], facts["recorded_s"]) == (0, 1.0)
        assert [signal.split(":")[0] for signal in facts["signals"]] == ["CH1", "CH2", "CH3"]
        assert sum(facts["events"].values()) >= 2


def test_what_is_no_recording_gets_one_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="is a folder without a recording that is known"):
        facts_of(tmp_path / "empty")
    for name in ("wrong.plx", "wrong.ncs", "wrong.meta", "wrong.bin", "wrong.oebin", "wrong.nse"):
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        (folder / name).write_bytes(b"this is a letter, not a recording\n" * 20)
        with pytest.raises(BadInput, match=name) as caught:
            facts_of(folder / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="is not a file"):
        facts_of(tmp_path / "absent.plx")
