"""FALCON in both directions, against the benchmark's own package where it is installed."""

import numpy as np
import pytest

from bmi_runtime import config as configuration
from bmi_runtime.decoding import fitting
from bmi_runtime.decoding.batch_decoder import Training
from bmi_runtime.decoding.falcon import FalconDecoder
from bmi_runtime.decoding.falcon_agent import FalconAgent, TaskFacts
from bmi_runtime.decoding.fitted_file import save_fitted
from bmi_runtime.decoding.hosting import make_decoder
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput

try:
    from falcon_challenge.config import FalconConfig, FalconTask
    from falcon_challenge.interface import BCIDecoder

    M2 = FalconConfig(task=FalconTask.m2)
except ImportError:
    BCIDecoder, M2 = object, TaskFacts(96, 2, 20)
real = pytest.mark.skipif(BCIDecoder is object, reason="falcon-challenge is not installed")


class Theirs(BCIDecoder):
    """Velocity from the first two channels; says what it was told."""

    def __init__(self, task_config, batch_size=1):
        self._task_config, self.batch_size = task_config, batch_size
        self.told = []

    def reset(self, dataset_tags=("",)):
        self.told.append(("reset", len(dataset_tags)))

    def predict(self, neural_observations):
        assert neural_observations.shape == (self.batch_size, self._task_config.n_channels)
        return 0.01 * neural_observations[:, : self._task_config.out_dim]

    def observe(self, neural_observations):
        self.told.append("observe")

    def on_done(self, dones):
        self.told.append(("done", dones.tolist()))


def training(bins=600, units=96):
    rng = np.random.default_rng(5)
    velocity = np.cumsum(rng.normal(size=(bins, 2)), axis=0) * 0.05
    counts = rng.poisson(np.exp(0.3 + 0.3 * velocity @ rng.normal(size=(2, units))).clip(max=20)).astype(float)
    starts = np.zeros(bins, bool)
    return Training(counts, np.hstack([np.full((bins, 2), np.nan), velocity]), starts, starts.copy(), 0.02)


@pytest.mark.parametrize("base_class", [pytest.param("own", id="verbs"), pytest.param("theirs", marks=real)])
def test_their_decoder_in_our_comparison(base_class):
    decoder = FalconDecoder.fitted(Theirs, "theirs", training())
    decoder.reset()
    counts = np.arange(96.0)
    assert decoder.predict(counts)[2:].tolist() == [0.0, 0.01]
    decoder.observe(counts)
    decoder.on_done()
    assert decoder.decoder.told == [("reset", 1), "observe", ("done", [True])]


def test_their_decoder_in_our_session():
    section = configuration.load().decoder.model_copy(update={"kind": "theirs"})
    model = EncodingModel.untrained(np.full(96, 10.0), "poisson", 0.02, 0.5)
    hosted = make_decoder(Theirs, section, model)
    assert hosted.predict(np.arange(96.0)).tolist() == [0.0, 0.0, 0.0, 0.01] and not hosted.failure
    hosted.on_done()
    assert hosted.decoder.decoder.told == [("done", [True])]


@pytest.mark.parametrize("kind", ["ridge", "kalman"])
def test_our_decoder_in_their_evaluator(tmp_path, kind):
    """Batches of one file each, as their evaluator hands them out: every row decodes as alone."""
    data = training()
    save_fitted(tmp_path / "ours.npz", kind, fitting.fit_decoder(kind, data), data, 1.0, "a test")
    agent = FalconAgent(M2, 3, file=tmp_path / "ours.npz")
    alone = fitting.fit_decoder(str(tmp_path / "ours.npz"), data)
    agent.reset(["a", "b", "c"])
    alone.reset()
    rolled = np.stack([np.roll(data.counts, shift, axis=0) for shift in (0, 7, 50)], axis=1)
    for bin_number in range(100):
        decoded = agent.predict(rolled[bin_number])
        assert decoded.shape == (3, 2)
        np.testing.assert_array_equal(decoded[0], alone.predict(data.counts[bin_number])[2:])
        agent.on_done(np.zeros(3))
    agent.observe(rolled[0])
    assert agent.predict(rolled[0, :2]).shape == (2, 2)  # the last batch may be smaller
    with pytest.raises(BadInput, match="give up to 3 rows of 96 channels"):
        agent.predict(np.zeros((3, 5)))
