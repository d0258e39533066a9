"""Monkeys' closed-loop sessions: published decoder parameters give back the outputs that were stored as they ran."""

import numpy as np
import pytest
import scipy.io

from bmi_runtime.decoding.linear_kalman import LinearKalmanDecoder, steady_state

MAPPINGS = ["intuitiveMapping", "perturbedMapping"]


@pytest.fixture(scope="module")
def golub(recordings):
    path = recordings / "closed_loop" / "golub2018_bci_learning_exampleData.mat"
    return scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False)


@pytest.fixture(scope="module")
def hennig(recordings):
    path = recordings / "closed_loop" / "hennig2018_20131218.mat"
    return scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False)["D"]


def parameters(mapping):
    return [np.asarray(getattr(mapping, name), dtype=float) for name in ("A", "C", "Q", "R")]


@pytest.mark.parametrize("name", MAPPINGS)
def test_riccati_reaches_the_stored_gain(golub, name):
    mapping = getattr(golub["expParams"], name)
    steady = steady_state(*parameters(mapping))
    np.testing.assert_allclose(steady.gain, mapping.K, rtol=0, atol=5e-9)
    transition, observation = parameters(mapping)[:2]
    step = transition - steady.gain @ observation @ transition
    np.testing.assert_allclose(step, mapping.M1, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", MAPPINGS)
def test_decoder_of_the_model_has_the_stored_step(golub, name):
    mapping = getattr(golub["expParams"], name)
    transition, observation, q, r = parameters(mapping)
    decoder = LinearKalmanDecoder.from_model(
        transition,
        observation,
        q,
        r,
        drift=np.asarray(mapping.b, float),
        baseline=mapping.d,
        projection=projection(mapping),
        unit_mean=mapping.mu_u,
    )
    np.testing.assert_allclose(decoder.transition, mapping.M1, rtol=0, atol=1e-15)
    np.testing.assert_allclose(decoder.gain, mapping.M2, rtol=0, atol=5e-9)
    np.testing.assert_allclose(decoder.offset, mapping.m0, rtol=0, atol=2e-8)


def projection(mapping):
    """Counts to the channels of the filter; the file keeps the scalings of counts and factors as inverse deviations."""
    permuted = np.asarray(mapping.eta, float) @ mapping.Sigma_z
    return permuted @ mapping.beta @ mapping.Sigma_u


@pytest.mark.parametrize("phase", ["beforeLearning", "afterLearning"])
@pytest.mark.parametrize("name", MAPPINGS)
def test_drive_of_every_bin(golub, phase, name):
    mapping = getattr(golub["expParams"], name)
    decoder = LinearKalmanDecoder(mapping.m0, mapping.M1, mapping.M2)
    clouds = golub[phase].clouds
    stored = getattr(clouds, "vraw_intuitive" if name == "intuitiveMapping" else "vraw_perturbed")
    worst = 0.0
    for spikes, raw in zip(clouds.spikes, stored, strict=True):
        decoded = np.array([decoder.drive(counts.astype(float)) for counts in spikes.T]).T
        worst = max(worst, np.abs(decoded - raw).max())
    assert worst < 5e-8


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("space", ["factors", "units"])
def test_every_step_of_a_session(hennig, block, space):
    data = hennig.blocks[block]
    published, values = (data.fDecoder, data.latents) if space == "factors" else (data.nDecoder, data.spikes)
    decoder = LinearKalmanDecoder(published.M0, published.M1, published.M2)
    error = np.empty_like(data.velNext)
    for index, value in enumerate(values.astype(float)):
        decoder.state = data.vel[index]
        error[index] = decoder.step(value) - data.velNext[index]
    # stored as float32, whose spacing at the largest speeds is 3e-5; the factors carry one more rounding
    assert np.abs(error).max() < (2.5e-5 if space == "units" else 3.5e-5)


def test_free_running_session_stays_on_the_stored_one(hennig):
    data = hennig.blocks[0]
    published = data.nDecoder
    decoder = LinearKalmanDecoder(published.M0, published.M1, published.M2)
    worst, runs = 0.0, 0
    for index, counts in enumerate(data.spikes.astype(float)):
        if index == 0 or np.abs(data.vel[index] - data.velNext[index - 1]).max() > 1e-3:  # a trial starts
            decoder.state = data.vel[index]
            runs += 1
        worst = max(worst, np.abs(decoder.predict(counts)[2:] - data.velNext[index]).max())
    assert runs < len(data.vel) / 3
    assert worst < 2e-4
