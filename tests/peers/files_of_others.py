"""Writes what other people's libraries write, for their own environment, and prints the spikes of each unit as JSON.

usage: files_of_others.py FOLDER
"""

import datetime
import json
import pathlib
import sys
import warnings

import neo
import numpy as np
import pynapple as nap
import quantities as pq
import spikeinterface.core as si
from pynwb import NWBHDF5IO, NWBFile
from spikeinterface.core import NpzSortingExtractor

warnings.simplefilter("ignore")


def block_of(trains):
    """Return a block of neo with one segment."""
    block = neo.Block()
    block.segments.append(neo.Segment())
    block.segments[0].spiketrains.extend(neo.SpikeTrain(train * pq.s, t_stop=5.0 * pq.s) for train in trains)
    return block


folder, said = pathlib.Path(sys.argv[1]), {}
for seed in range(3):
    rng = np.random.default_rng(seed)
    trains = [np.sort(rng.uniform(0.0, 5.0, 30 + 10 * unit)) for unit in range(4)]
    counts = [len(train) for train in trains]
    with neo.NixIO(str(folder / f"neo{seed}.nix"), "ow") as file:
        file.write_block(block_of(trains))
    said[f"neo{seed}.nix"] = counts
    neo.io.PickleIO(str(folder / f"neo{seed}.pkl")).write_block(block_of(trains))
    said[f"neo{seed}.pkl"] = "pickle can run any program"
    neo.io.NeoMatlabIO(str(folder / f"neo{seed}.mat")).write_block(block_of(trains))
    said[f"neo{seed}.mat"] = "fits no known layout"
    neo.io.AsciiSpikeTrainIO(str(folder / f"neo{seed}.txt")).write_segment(block_of(trains).segments[0])
    said[f"neo{seed}.txt"] = "a table of this kind"
    sorting = si.generate_sorting(num_units=5, durations=[6.0], sampling_frequency=30_000.0, seed=seed)
    sorting.save(folder=folder / f"si{seed}")
    said[f"si{seed}"] = [len(sorting.get_unit_spike_train(unit)) for unit in sorting.unit_ids]
    NpzSortingExtractor.write_sorting(sorting, folder / f"si{seed}.npz")
    said[f"si{seed}.npz"] = "a sorting of SpikeInterface"
    sorting.save(folder=folder / f"si{seed}.zarr", format="zarr")
    said[f"si{seed}.zarr"] = "zarr"
    nap.TsGroup({unit: nap.Ts(train) for unit, train in enumerate(trains)}).save(str(folder / f"pynapple{seed}.npz"))
    said[f"pynapple{seed}.npz"] = "lacks counts"
    nwb = NWBFile("made", f"made{seed}", datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))
    for train in trains:
        nwb.add_unit(spike_times=train)
    with NWBHDF5IO(str(folder / f"pynwb{seed}.nwb"), "w") as file:
        file.write(nwb)
    said[f"pynwb{seed}.nwb"] = counts
print(json.dumps(said))
