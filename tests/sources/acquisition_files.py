"""Small files of acquisition systems, written byte by byte after their published layouts."""

import json
import struct

import numpy as np

RATE_HZ = 30_000
SLOW_HZ = 1000
MV_PER_M = 10_000.0  # how the made rigs put the hand on their analog inputs


def hand_m(times_s):
    """Where the hand is, m."""
    return np.column_stack([0.1 * np.sin(2 * times_s), 0.08 * np.cos(1.4 * times_s)])


def trains_s(start_s, stop_s, units=4, seed=1):
    """Return spike times, a little more from every unit to the next."""
    rng = np.random.default_rng(seed)
    trains = [np.sort(rng.uniform(start_s, stop_s, int((10 + 4 * n) * (stop_s - start_s)))) for n in range(units)]
    return [train[np.diff(train, prepend=-1.0) > 0.002] for train in trains]


def text(words, width):
    return words.encode("latin-1").ljust(width, b"\0")


def blackrock(folder, stretches=((0.0, 4.0),), waveform=12):
    """Write rig.nev and rig.ns2 of specification 2.3: two units a channel, hand x and y at 1 kHz; pauses between.

    Returns the spike times by unit.
    """
    trains = [np.concatenate(parts) for parts in zip(*(trains_s(*s, seed=3) for s in stretches), strict=True)]
    clock = np.array([2024, 1, 1, 2, 3, 4, 5, 6], "<u2").tobytes()
    waves = [
        b"NEUEVWAV" + np.array([channel], "<u2").tobytes() + b"\x01\x01" + np.array([250, 0], "<u2").tobytes()
        + np.array([0, -50], "<i2").tobytes() + b"\x02\x02" + np.array([waveform], "<u2").tobytes() + bytes(8)
        for channel in (1, 2)
    ]  # fmt: skip
    labels = [b"NEUEVLBL" + np.array([c], "<u2").tobytes() + text(f"chan{c}", 16) + bytes(6) for c in (1, 2)]
    extended = [*waves, *labels]
    packet = 8 + 2 * waveform
    head = b"NEURALEV\x02\x03" + np.array([1], "<u2").tobytes()
    head += np.array([336 + 32 * len(extended), packet, RATE_HZ, RATE_HZ], "<u4").tobytes() + clock
    head += text("made", 32) + text("", 256) + np.array([len(extended)], "<u4").tobytes()
    record = np.dtype(
        [("time", "<u4"), ("channel", "<u2"), ("unit", "u1"), ("zero", "u1"), ("wave", "<i2", (waveform,))]
    )
    spikes = np.concatenate([_nev_spikes(train, unit, record) for unit, train in enumerate(trains)])
    spikes = spikes[np.argsort(spikes["time"], kind="stable")]
    (folder / "rig.nev").write_bytes(head + b"".join(extended) + spikes.tobytes())
    (folder / "rig.ns2").write_bytes(_nsx(stretches, clock))
    return trains


def _nev_spikes(train_s, unit, record):
    spikes = np.zeros(len(train_s), record)
    spikes["time"] = np.round(train_s * RATE_HZ)
    spikes["channel"], spikes["unit"] = 1 + unit // 2, 1 + unit % 2
    return spikes


def _nsx(stretches, clock):
    channels = b"".join(
        b"CC" + np.array([129 + n], "<u2").tobytes() + text(name, 16) + b"\x01\x01"
        + np.array([-32_764, 32_764, -5000, 5000], "<i2").tobytes() + text("mV", 16) + bytes(20)
        for n, name in enumerate(("HandX", "HandY", "Eye"))
    )  # fmt: skip
    head = b"NEURALCD\x02\x03" + np.array([314 + len(channels)], "<u4").tobytes() + text("1 kS/s", 16) + text("", 256)
    head += np.array([RATE_HZ // SLOW_HZ, RATE_HZ], "<u4").tobytes() + clock + np.array([3], "<u4").tobytes()
    blocks = b""
    for start, stop in stretches:
        at = np.arange(round(start * SLOW_HZ), round(stop * SLOW_HZ)) / SLOW_HZ
        mv = np.column_stack([MV_PER_M * hand_m(at), np.zeros(len(at))])
        blocks += b"\x01" + np.array([round(start * RATE_HZ), len(at)], "<u4").tobytes()
        blocks += np.round(mv * 32_764 / 5000).astype("<i2").tobytes()
    return head + channels + blocks


def neuro_explorer(path, stop_s=4.0):
    """Write a .nex of version 106: four units, an event, intervals, hand x and y as continuous variables."""
    frequency = 40_000
    trains = trains_s(0.0, stop_s)
    at = np.arange(0, stop_s, 1 / SLOW_HZ)
    variables = [(0, f"sig00{n}a", np.round(train * frequency).astype("<i4").tobytes(), len(train), {})
                 for n, train in enumerate(trains)]  # fmt: skip
    variables.append((1, "go", (np.arange(3, dtype="<i4") * frequency).tobytes(), 3, {}))
    variables.append((2, "trials", np.array([0, 80_000, 70_000, 150_000], "<i4").tobytes(), 2, {}))
    for name, column in zip(("hand_x", "hand_y"), hand_m(at).T, strict=True):
        samples = np.round(MV_PER_M * column / 0.2).astype("<i2")
        data = np.array([0, 0], "<i4").tobytes() + samples.tobytes()
        variables.append((5, name, data, 1, {"rate": float(SLOW_HZ), "gain": 0.2, "points": len(samples)}))
    head = b"NEX1" + np.array([106], "<i4").tobytes() + text("made", 256) + np.array([frequency], "<f8").tobytes()
    head += np.array([0, round(stop_s * frequency), len(variables)], "<i4").tobytes()
    head = head.ljust(544, b"\0")
    offset, table = 544 + 208 * len(variables), b""
    for kind, name, data, number, more in variables:
        entry = np.array([kind, 104], "<i4").tobytes() + text(name, 64)
        entry += np.array([offset, number, 0, 0, 0, 0], "<i4").tobytes()
        entry += np.array([0, 0, more.get("rate", 0), more.get("gain", 0)], "<f8").tobytes()
        entry += np.array([more.get("points", 0), 0, 0], "<i4").tobytes() + np.zeros(2).tobytes()
        table += entry.ljust(208, b"\0")
        offset += len(data)
    path.write_bytes(head + table + b"".join(data for _, _, data, _, _ in variables))
    return trains


def spike2(path, stop_s=4.0):
    """Write a .smr of system version 6: four units' spikes as waveform marks, hand x and y as ADC channels, events."""
    tick_s, divide = 10e-6, 100  # a sample of the ADC every 1 ms
    trains = trains_s(0.0, stop_s)
    at = np.arange(0, stop_s, divide * tick_s)
    channels, blocks, place = [], b"", 512 + 140 * 4
    samples = [np.round(MV_PER_M * column / 1000 * 6553.6).astype("<i2") for column in hand_m(at).T]
    for name, data in zip(("HandX", "HandY"), samples, strict=True):
        pieces = [(i, data[i : i + 3000]) for i in range(0, len(data), 3000)]
        made = [
            _smr_block(len(channels), piece, i * divide, (i + len(piece) - 1) * divide, "<i2") for i, piece in pieces
        ]
        channels.append((name, 1, made, divide))
    mark = np.dtype([("tick", "<i4"), ("marker", "<i4"), ("wave", "<i2", (8,))])
    merged = np.concatenate([_smr_marks(train, code, tick_s, mark) for code, train in enumerate(trains, 1)])
    merged = merged[np.argsort(merged["tick"], kind="stable")]
    channels.append(
        ("Units", 6, [_smr_block(2, merged, int(merged["tick"][0]), int(merged["tick"][-1]), mark)], divide)
    )
    ticks = np.array([1000, 200_000], "<i4")
    channels.append(("Go", 3, [_smr_block(3, ticks, 1000, 200_000, "<i4")], 1))
    table = b""
    for name, kind, made, spacing in channels:
        places, first = [], place + len(blocks)
        for block in made:
            places.append(place + len(blocks))
            blocks += block
        after = [*places[1:], -1]
        for here, following in zip(places, after, strict=True):
            at_byte = here - place
            blocks = blocks[: at_byte + 4] + np.array([following], "<i4").tobytes() + blocks[at_byte + 8 :]
        table += _smr_channel(name, kind, first, places[-1], len(made), spacing)
    head = np.array([6], "<i2").tobytes() + b"(C) CED 87" + text("made", 8) + np.array([10, 1, 0], "<i2").tobytes()
    head += np.array([0], "<i4").tobytes() + np.array([len(channels), 140, 0, 0, 0], "<i2").tobytes()
    head += np.array([round(stop_s / tick_s)], "<i4").tobytes() + np.array([1e-6], "<f8").tobytes()
    path.write_bytes(head.ljust(512, b"\0") + table + blocks)
    return trains


def _smr_block(channel, items, first, last, kind):
    head = np.array([-1, -1, first, last], "<i4").tobytes() + np.array([channel + 1, len(items)], "<i2").tobytes()
    return head + np.asarray(items, kind).tobytes()


def _smr_marks(train_s, code, tick_s, mark):
    marks = np.zeros(len(train_s), mark)
    marks["tick"], marks["marker"] = np.round(train_s / tick_s), code
    return marks


def _smr_channel(name, kind, first, last, blocks, spacing):
    extra = 16 if kind == 6 else 0
    entry = np.array([0], "<i2").tobytes() + np.array([0, first, last], "<i4").tobytes()
    entry += np.array([blocks, extra, 0, 0, 0, 0], "<i2").tobytes() + text("", 72)
    entry += np.array([0, spacing], "<i4").tobytes() + np.array([0], "<i2").tobytes()
    entry += bytes([len(name)]) + text(name, 9) + np.array([1000.0], "<f4").tobytes() + bytes([kind, 0])
    if kind in (1, 6):  # volts: scale / 6553.6 times the number
        entry += np.array([1.0, 0.0], "<f4").tobytes() + bytes([1]) + text("V", 5) + np.array([1], "<i2").tobytes()
    return entry.ljust(140, b"\0")


def open_ephys_legacy(folder, stop_s=4.0, lost_block=None, start=60_000):
    """Write the older Open Ephys format: two ADC .continuous files with the hand, two electrodes' .spikes, events."""
    blocks = round(stop_s * RATE_HZ / 1024)
    block = np.dtype(
        [("time", "<i8"), ("n", "<u2"), ("rec", "<u2"), ("samples", ">i2", (1024,)), ("mark", "u1", (10,))]
    )
    at = np.arange(blocks * 1024) / RATE_HZ
    kept = [n for n in range(blocks) if n != lost_block]
    for number, column in enumerate(hand_m(at).T, 1):
        table = np.zeros(blocks, block)
        table["time"], table["n"] = start + 1024 * np.arange(blocks), 1024
        table["samples"] = np.round(MV_PER_M / 1000 * column / 1e-4).reshape(blocks, 1024)
        file = folder / f"100_ADC{number}.continuous"
        file.write_bytes(_open_ephys_header("ADC", 1e-4) + table[kept].tobytes())
    trains = trains_s(0.0, blocks * 1024 / RATE_HZ)
    for electrode in range(2):
        both = [_open_ephys_spikes(trains[2 * electrode + unit], unit + 1, electrode, start) for unit in range(2)]
        spikes = np.sort(np.concatenate(both), order="time")
        header = _open_ephys_header("Electrode", 1.0, "header.num_channels = 1;\n")
        (folder / f"SE{electrode}.spikes").write_bytes(header + spikes.tobytes())
    flags = [(name, "u1") for name in ("type", "processor", "id", "channel")]
    event = np.dtype([("time", "<i8"), ("pos", "<i2"), *flags, ("rec", "<u2")])
    events = np.zeros(6, event)
    events["time"], events["type"] = start + 5000 * np.arange(6), 3
    (folder / "all_channels.events").write_bytes(_open_ephys_header("Event", 1.0) + events.tobytes())
    return trains


def _open_ephys_header(kind, volts, more=""):
    lines = (
        "header.format = 'Open Ephys Data Format'; \nheader.version = 0.4; \nheader.header_bytes = 1024;\n"
        f"header.channelType = '{kind}';\nheader.date_created = '1-Jan-2020 10203';\nheader.sampleRate = {RATE_HZ};\n"
        f"header.blockLength = 1024;\nheader.bufferSize = 1024;\nheader.bitVolts = {volts};\n{more}"
    )
    return lines.encode().ljust(1024, b" ")


def _open_ephys_spikes(train_s, unit, electrode, start):
    record = np.dtype(
        [("type", "u1"), ("time", "<i8"), ("software", "<i8"), ("source", "<u2"), ("channels", "<u2"),
         ("length", "<u2"), ("unit", "<u2"), ("electrode", "<u2"), ("channel", "<u2"), ("colour", "u1", (3,)),
         ("pca", "<f4", (2,)), ("rate", "<u2"), ("samples", "<u2", (8,)), ("gain", "<f4", (1,)),
         ("threshold", "<u2", (1,)), ("rec", "<u2")]
    )  # fmt: skip
    spikes = np.zeros(len(train_s), record)
    spikes["type"], spikes["channels"], spikes["length"], spikes["gain"] = 4, 1, 8, 1000.0
    spikes["time"] = start + np.round(train_s * RATE_HZ)
    spikes["unit"], spikes["electrode"], spikes["rate"] = unit, electrode, RATE_HZ
    return spikes


def open_ephys_binary(folder, stop_s=4.0, start_s=20.0, version="0.6.4", spikes=True, events_at_s=None):
    """Write a record node of the binary format: hand x at 1 kHz and hand y at 500 Hz in streams of their own.

    Spikes are saved as that version of the GUI does; `events_at_s` puts the events of a tracking port on another clock.
    Returns the spike times by unit.
    """
    top = folder / "Record Node 101" / "experiment1" / "recording1"
    streams = {"Slow-1.x": ("HandX", SLOW_HZ, 0), "Slower-2.y": ("HandY", SLOW_HZ // 2, 1)}
    structure = {"GUI version": version, "continuous": [], "events": [], "spikes": []}
    for name, (channel, rate_hz, axis) in streams.items():
        where = top / "continuous" / name
        where.mkdir(parents=True)
        at = start_s + np.arange(round(stop_s * rate_hz)) / rate_hz
        np.round(MV_PER_M * hand_m(at)[:, axis]).astype("<i2").tofile(where / "continuous.dat")
        np.save(where / "sample_numbers.npy", np.round(at * rate_hz).astype(np.int64))
        np.save(where / "timestamps.npy", at if version >= "0.6" else np.round(at * rate_hz).astype(np.int64))
        about = {"channel_name": channel, "description": "", "identifier": "", "history": "", "bit_volts": 1.0}
        about |= {"units": "mV", "source_processor_index": 0, "recorded_processor_index": 0}
        stream = {"folder_name": f"{name}/", "sample_rate": rate_hz, "source_processor_name": name.split("-")[0]}
        stream |= {"source_processor_id": 100, "source_processor_sub_idx": 0, "recorded_processor": "R"}
        stream |= {"recorded_processor_id": 101, "num_channels": 1, "channels": [about], "stream_name": name}
        structure["continuous"].append(stream)
    trains = trains_s(start_s, start_s + stop_s, seed=5)
    if spikes:
        _saved_spikes(top / "spikes" / "Detector" / "Tetrode1", trains, version)
        structure["spikes"].append({"folder_name": "Detector/Tetrode1/", "sample_rate": RATE_HZ, "num_channels": 4})
    if events_at_s is not None:
        where = top / "events" / "Tracking" / "TEXT_group_1"
        where.mkdir(parents=True)
        np.save(where / "timestamps.npy", np.asarray(events_at_s))
        np.save(where / "text.npy", np.array([b"x"] * len(events_at_s)))
        structure["events"].append(
            {
                "folder_name": "Tracking/TEXT_group_1/",
                "channel_name": "Tracking",
                "sample_rate": RATE_HZ,
                "type": "text",
            }
        )
    (top / "structure.oebin").write_text(json.dumps(structure))
    return trains


def _saved_spikes(where, trains, version):
    where.mkdir(parents=True)
    times_s = np.concatenate(trains)
    order = np.argsort(times_s)
    unit = np.repeat(np.arange(len(trains)), [len(train) for train in trains])[order]
    samples = np.round(times_s[order] * RATE_HZ).astype(np.int64)
    names = ("sample_numbers", "electrode_indices", "clusters")
    if version < "0.6":
        names = ("spike_times", "spike_electrode_indices", "spike_clusters")
    for name, values in zip(names, (samples, unit // 2, 1 + unit % 2), strict=True):
        np.save(where / f"{name}.npy", values)
    if version >= "0.6":
        np.save(where / "timestamps.npy", times_s[order])


def phy(folder, shape=(-1,), labels=("good", "mua", "noise", "good"), rate_hz=RATE_HZ):
    """Write what Kilosort and phy leave: four clusters, one of them judged as noise; return the spike times by unit."""
    folder.mkdir(parents=True, exist_ok=True)
    trains = trains_s(0.0, 4.0, seed=7)
    samples = np.concatenate([np.round(train * rate_hz).astype(np.uint64) for train in trains])
    clusters = np.repeat(10 + np.arange(len(trains)), [len(train) for train in trains])
    order = np.argsort(samples, kind="stable")
    np.save(folder / "spike_times.npy", samples[order].reshape(shape))
    np.save(folder / "spike_clusters.npy", clusters[order].astype(np.int32))
    np.save(folder / "spike_templates.npy", clusters[order].reshape(shape).astype(np.uint32))
    (folder / "params.py").write_text(
        f"dat_path = r'C:\\data\\raw.dat'\nsample_rate = {rate_hz}.\nhp_filtered = False\n"
    )
    rows = "".join(f"{10 + n}\t{label}\n" for n, label in enumerate(labels))
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n" + rows)
    return trains


def spikeinterface(folder, rate_hz=RATE_HZ, segments=1, names=("a", "b", "c", "d")):
    """Write a sorting as SpikeInterface 0.105 saves one; return the spike times."""
    folder.mkdir(parents=True)
    trains = trains_s(0.0, 4.0)
    rows = sorted((round(t * rate_hz), unit, 0) for unit, train in enumerate(trains) for t in train)
    kind = [("sample_index", "<i8"), ("unit_index", "<i8"), ("segment_index", "<i8")]
    np.save(folder / "spikes.npy", np.array(rows, kind))
    about = {"sampling_frequency": float(rate_hz), "unit_ids": list(names), "num_segments": segments}
    (folder / "numpysorting_info.json").write_text(json.dumps(about))
    (folder / "si_folder.json").write_text("{}")
    return trains


def neuroscope(folder, rate_hz=20_000):
    """Write session.xml with the .res and .clu of two groups, each with artefacts (0) and unsorted spikes (1)."""
    trains = trains_s(0.0, 4.0, units=6, seed=8)
    (folder / "session.xml").write_text(
        '<?xml version="1.0"?>\n<parameters version="1.0" creator="neuroscope-2.0">\n <acquisitionSystem>\n'
        f"  <nBits>16</nBits><nChannels>8</nChannels><samplingRate>{rate_hz}</samplingRate>\n"
        " </acquisitionSystem>\n</parameters>\n"
    )
    for group in (1, 2):
        units = trains[3 * group - 3 : 3 * group]
        numbers = (0, 1, 2) if group == 1 else (1, 2, 3)
        times = np.concatenate(units)
        order = np.argsort(times)
        clusters = np.repeat(numbers, [len(train) for train in units])[order]
        np.savetxt(folder / f"session.res.{group}", np.round(times[order] * rate_hz), fmt="%d")
        np.savetxt(folder / f"session.clu.{group}", np.r_[3, clusters], fmt="%d")
    return [trains[2], trains[4], trains[5]]


def words(text):
    """Return a text as Intan's software writes it."""
    raw = text.encode("utf-16-le")
    return np.array([len(raw)], "<u4").tobytes() + raw


def numbers(kind, *values):
    """Return numbers of one kind as bytes."""
    return np.array(values, kind).tobytes()


def intan_stimulation(path, seconds=2.0, rate_hz=30_000.0, channels=2):
    """Write a .rhs of version 3.0: amplifiers, their stimulation, the hand on two analog inputs, one digital input."""
    head = b"\xac\x27\x91\xd6" + numbers("<i2", 3, 0) + numbers("<f4", rate_hz) + numbers("<i2", 1)
    head += numbers("<f4", 1.0, 0.1, 1000.0, 7500.0, 1.0, 0.1, 1000.0, 7500.0) + numbers("<i2", 0)
    head += numbers("<f4", 1000.0, 1000.0) + numbers("<i2", 0, 0) + numbers("<f4", 1e-6, 1e-8, 0.0)
    head += 3 * words("") + numbers("<i2", 0, 0) + words("") + numbers("<i2", 3)
    groups = [("Port A", "A", [(f"A-{k:03d}", 0) for k in range(channels)])]
    groups += [("Board ADC Inputs", "ANALOG-IN", [(f"ANALOG-IN-{k + 1}", 3) for k in range(2)])]
    groups += [("Board Digital Inputs", "DIGITAL-IN", [("DIGITAL-IN-01", 5)])]
    for name, prefix, members in groups:
        amplifiers = sum(kind == 0 for _, kind in members)
        head += words(name) + words(prefix) + numbers("<i2", 1, len(members), amplifiers)
        for order, (channel, kind) in enumerate(members):
            head += 2 * words(channel) + numbers("<i2", order, order, kind, 1, order, 0, 0, 0, 0, 0, 0)
            head += numbers("<f4", 1e6, 0.0)
    samples = 128 * (int(seconds * rate_hz) // 128)
    kinds = [("time", "<i4", 128), ("amplifier", "<u2", (channels, 128)), ("stimulus", "<u2", (channels, 128))]
    blocks = np.zeros(samples // 128, [*kinds, ("analog", "<u2", (2, 128)), ("digital", "<u2", 128)])
    blocks["time"], blocks["amplifier"] = np.arange(samples).reshape(-1, 128), 32_768
    hand = np.round(hand_m(np.arange(samples) / rate_hz) * 10.0 / 0.0003125) + 32_768  # 10 V a metre
    blocks["analog"] = hand.reshape(-1, 128, 2).transpose(0, 2, 1)
    path.write_bytes(head + blocks.tobytes())
    return samples


def alpha_omega(folder, stop_s=4.0, start_s=10.0, rate_hz=22_321.42857, silent=(), name="F240605-0001.mpx"):
    """Write an .mpx of version 4: spikes of two electrodes (the first with two units), field potential, a TTL line."""
    folder.mkdir(parents=True, exist_ok=True)
    trains = trains_s(start_s, start_s + stop_s, units=3, seed=6)

    def block(kind, body):
        return struct.pack("<Hc", 3 + len(body), kind) + body

    def defined(number, what, analog, body):
        return block(b"2", struct.pack("<xlhhhxBBB", 0, analog, 1, number, 0, 0, 0) + body + what.encode() + b"\0")

    first = struct.pack("<xlhBBBBBBHBxddlB10s4sxl", 0, 1, 9, 30, 0, 0, 5, 6, 2024, 3, start_s, start_s + stop_s, 0, 4,
                        b"ARS".ljust(10, b"\0"), bytes(4), 0)  # fmt: skip
    out = block(b"h", first)
    for number, electrode in ((1, "SEG 01"), (2, "SEG 02")):
        shape = struct.pack("<hffhh", 1, 38.147, rate_hz / 1e3, 34, 0) + struct.pack("<ffhhhh", 1, 2, 0, 0, 0, 2000)
        out += defined(number, electrode, 1, shape)
    lfp_hz = 1000.0
    out += defined(3, "LFP 01", 1, struct.pack("<hffhhfh", 0, 38.147, lfp_hz / 1e3, 100, 0, 0, 2000))
    out += defined(4, "TTL 01", 0, struct.pack("<fhfh", rate_hz / 1e3, 0, 0, 0))
    marks = [(t, 1 + unit // 2, 1 + unit % 2) for unit, train in enumerate(trains) for t in train]
    for time_s, number, sorted_as in sorted(mark for mark in marks if mark[1] not in silent):
        data = bytes(2 * 30) + struct.pack("<L", round(time_s * rate_hz))
        out += block(b"5", struct.pack("<ch", bytes([sorted_as]), number) + data)
    for k in range(int(stop_s * 10)):
        at = struct.pack("<L", round(start_s * lfp_hz) + 100 * k)
        out += block(b"5", struct.pack("<ch", b"\0", 3) + np.full(100, k, "<i2").tobytes() + at)
        out += block(
            b"5", struct.pack("<ch", b"\0", 4) + struct.pack("<Lh", round((start_s + k / 10) * rate_hz), k % 2)
        )
    (folder / name).write_bytes(out + struct.pack("<Hc", 65_535, b"\0"))
    return [np.sort(np.concatenate(trains[:2])), trains[2]]


def intan(path, seconds=1.0, rate_hz=20_000.0, channels=4):
    """Write a .rhd of version 2.0 with amplifier channels; return how many samples it holds."""
    head = b"\x02\x27\x91\xc6" + numbers("<i2", 2, 0) + numbers("<f4", rate_hz)
    head += numbers("<i2", 1) + numbers("<f4", 1.0, 0.1, 7500.0, 1.0, 0.1, 7500.0)
    head += numbers("<i2", 0) + numbers("<f4", 1000.0, 1000.0) + 3 * words("") + numbers("<i2", 0, 0) + words("")
    head += numbers("<i2", 1) + words("Port A") + words("A") + numbers("<i2", 1, channels, channels)
    for channel in range(channels):
        head += 2 * words(f"A-{channel:03d}") + numbers("<i2", channel, channel, 0, 1, channel, 0, 0, 0, 0, 0)
        head += numbers("<f4", 1e6, 0.0)
    blocks = int(seconds * rate_hz) // 128
    flat = np.full((channels, 128), 32_768, "<u2").tobytes()
    path.write_bytes(head + b"".join((np.arange(128, dtype="<i4") + 128 * b).tobytes() + flat for b in range(blocks)))
    return 128 * blocks


def spikegadgets(path, seconds=1.0, rate_hz=20_000, channels=32):
    """Write a .rec: its configuration in XML, then one packet a sample."""
    trodes = "".join(f'<SpikeNTrode id="{k + 1}"><SpikeChannel hwChan="{k}"/></SpikeNTrode>\n' for k in range(channels))
    xml = (
        '<?xml version="1.0"?>\n<Configuration>\n<GlobalConfiguration/>\n'
        f'<HardwareConfiguration numChannels="{channels}" samplingRate="{rate_hz}">\n'
        '<Device name="SysClock" packetOrderPreference="1" numBytes="8"/>\n</HardwareConfiguration>\n'
        f"<SpikeConfiguration>\n{trodes}</SpikeConfiguration>\n</Configuration>\n"
    )
    packet = np.dtype([("sync", "u1"), ("clock", "u1", 8), ("time", "<u4"), ("data", "<i2", channels)])
    packets = np.zeros(int(seconds * rate_hz), packet)
    packets["sync"], packets["time"] = 0x55, np.arange(len(packets))
    path.write_bytes(xml.encode() + packets.tobytes())


TDT_NAMES = ("size", "kind", "store", "channel", "sort", "time", "offset", "format", "rate")
TDT_ROW = np.dtype(list(zip(TDT_NAMES, ("<i4", "<i4", "S4", "<u2", "<u2", "<f8", "<i8", "<i4", "<f4"), strict=True)))


def tdt(folder, stop_s=4.0, start_s=1.7e9):
    """Write a block of a TDT tank: sorted snippets on two channels, the hand as two streams; times since 1970."""
    block = folder / "Block-1"
    block.mkdir(parents=True)
    trains, points, rows, tev = trains_s(0.0, stop_s, units=3, seed=3), 32, [], b""
    events = [(t, "eNe1", 1 + unit // 2, 1 + unit % 2) for unit, train in enumerate(trains) for t in train]
    events += [(0.256 * k, "Hand", axis, 0) for k in range(int(stop_s / 0.256)) for axis in (1, 2)]
    for time_s, store, channel, sort in sorted(events):
        at = time_s + np.arange(256) / SLOW_HZ
        data = np.zeros(points) if sort else 1e6 * hand_m(at)[:, channel - 1]
        kind, rate = (33_281, RATE_HZ) if sort else (33_025, SLOW_HZ)
        rows.append((10 + len(data), kind, store.encode(), channel, sort, start_s + time_s, len(tev), 0, rate))
        tev += data.astype("<f4").tobytes()
    first = [(0, 0, b"", 0, 0, 0.0, 0, 0, 0.0), (0, 0, b"\x01", 0, 0, start_s, 0, 0, 0.0)]
    table = np.array([*first, *rows, (0, 0, b"\x02", 0, 0, start_s + stop_s, 0, 0, 0.0)], TDT_ROW)
    stem = block / "tank_Block-1"
    stem.with_suffix(".tsq").write_bytes(table.tobytes())
    stem.with_suffix(".tev").write_bytes(tev)
    stem.with_suffix(".Tdx").write_bytes(b"")
    stores = (("eNe1", 33_281, points, RATE_HZ), ("Hand", 33_025, 256, SLOW_HZ))
    stem.with_suffix(".Tbk").write_bytes(b"".join(_tdt_store(*store) for store in stores) + b"[USERNOTEDELIMITER]")
    return trains


def _tdt_store(name, kind, points, rate_hz):
    fields = {"StoreName": name, "HeadName": name, "Enabled": 1, "CircType": 1, "NumChan": 2, "StrobeMode": 1}
    fields |= {"TankEvType": kind, "NumPoints": points, "DataFormat": 0, "SampleFreq": float(rate_hz)}
    return ("[STOREHDRITEM]" + "".join(f"NAME={k};TYPE=S;VALUE={v};\r\n" for k, v in fields.items())).encode()
