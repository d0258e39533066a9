"""A closed loop on a network of spiking neurons: the cursor reaches, stimulation spreads, the recording replays."""

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.analysis.perturbation.effects import difference_in_means
from bmi_runtime.analysis.perturbation.recorded import recorded_trials
from bmi_runtime.errors import BadInput
from bmi_runtime.recording.reader import Recording
from bmi_runtime.session import launch
from bmi_runtime.session.assemble import assemble
from bmi_runtime.session.replay import Replay


def record(path, bins, *overrides):
    config = configuration.load(None, ["source.kind=network", f"recording.path='{path}'", *overrides])
    loop = assemble(config, "max")
    launch.run(loop, bins)
    return loop


def test_the_loop_closes_on_spiking_neurons_and_replays(tmp_path):
    loop = record(tmp_path / "a.mcap", 4000, "source.options={neurons=200}")
    result = loop.result()
    assert result["successes"] >= 6
    assert result["success_rate"] >= 0.8
    assert Replay(Recording(tmp_path / "a.mcap")).run()["identical"]


def test_stimulation_goes_through_the_network(tmp_path):
    overrides = ("stimulation.enabled=true", "stimulation.units=[0,1]", "stimulation.trials=1500")
    overrides += ("stimulation.interval_s=0.06", "stimulation.jitter_s=0.01", "session.units=20")
    # driven so weakly that excitation does not run away: 17 inputs of 0.02 mV/Hz, f-I slope about 0.3 Hz/mV
    network = "neurons=20, probability=0.9, strength_mv_s=0.02, inhibitory_fraction=0.0, drive_mv=-56.0"
    record(tmp_path / "a.mcap", 18500, *overrides, f"source.options={{{network}}}")
    trials = recorded_trials(Recording(tmp_path / "a.mcap"), after_s=0.02)
    own = difference_in_means(trials["assignments"], trials["treatments"]).estimate.diagonal()
    assert (own > 0.5).all(), "a pulse makes about one spike"
    caused = difference_in_means(trials["assignments"], trials["outcomes"]).estimate[:, 2:]
    assert caused.mean() > 0.002, "and excites the others through the connections"


@pytest.mark.parametrize(
    "override", ["source.options={synapses=3}", "source.options={neurons=10}", "session.likelihood=gaussian"]
)
def test_what_it_cannot_be_is_refused(override):
    config = configuration.load(None, ["source.kind=network", "recording.enabled=false", override])
    with pytest.raises(BadInput, match=r"source\.options"):
        assemble(config, "max")


def test_the_seed_decides():
    from bmi_runtime.messages import Bin
    from simulators.network_source import NetworkSource

    def counts(seed):
        overrides = [f"session.seed={seed}", "session.units=20", "source.options={neurons=40}"]
        source, given, rows = NetworkSource(configuration.load(None, overrides)), Bin(20, False), []
        for _ in range(60):
            source.next_bin(given, (0.0, 0.0), (0.1, 0.0, 0.02))
            rows.append(given.fields.counts.copy())
        return np.array(rows)

    assert np.array_equal(counts(1), counts(1))
    assert not np.array_equal(counts(1), counts(2))
