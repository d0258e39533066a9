"""Oscillations that a delay brings: where they begin, in closed form, by search, and in a run of the densities.

n alike populations at one steady rate, coupled by ``b = beta C`` with one delay D, oscillate from where
``beta l X(i w) exp(-i w D) = 1`` with an eigenvalue l of C. So for any w, ``beta = 1 / |l X(i w)|`` and
``D = arg(beta l X(i w)) / w`` are a Hopf point of that period, and X is known in parabolic cylinder functions.
"""

import dataclasses

import numpy as np
import pytest
from scipy.special import gamma

from bmi_runtime.analysis.fokker_planck import coupled_hopf, coupled_run, coupled_spectrum, coupled_states
from bmi_runtime.analysis.fokker_planck.initial import Gaussian
from bmi_runtime.analysis.fokker_planck.populations import Populations, make

CONTOUR = np.linspace(-45.0, 4.0, 40_001) + 0.6j


def parabolic_cylinder(s: complex, z: float) -> complex:
    """D_{-s}(z) for Re s > 0, by its integral (DLMF 12.5.1) with t = exp(u), along a line that loses fewer digits."""
    u = CONTOUR
    integral = np.exp(s * u - z * np.exp(u) - 0.5 * np.exp(2 * u)).sum() * (u[1] - u[0])
    return np.exp(-z * z / 4) * integral / gamma(s)


def susceptibility(x: complex, rate: float, drift: float, diffusion: float, refractory: float) -> complex:
    """What the rate of neurons with V_R = 1, V_F = 2 answers to exp(x t) of drift (Lindner & Schimansky-Geier 2001,
    with an exponential refractory time).
    """
    zt, zr = (drift - 2.0) / np.sqrt(diffusion), (drift - 1.0) / np.sqrt(diffusion)
    e = np.exp((zr * zr - zt * zt) / 4)

    def next_one(z):
        return z * parabolic_cylinder(x + 1, z) + (x + 1) * parabolic_cylinder(x + 2, z)

    above = parabolic_cylinder(x + 1, zt) - e * parabolic_cylinder(x + 1, zr)
    below = next_one(zt) - e * next_one(zr) / (1 + x * refractory)
    return rate / np.sqrt(diffusion) * x / (x + 1) * above / below


@dataclasses.dataclass(frozen=True)
class Known:
    """Populations whose Hopf point is known: the delay, the angular frequency, the rate there."""

    b: np.ndarray
    fields: dict
    delay: float
    frequency: float
    rate: float

    def at(self, delay: float) -> Populations:
        return make(self.b, **self.fields, delay=delay)


def known(structure, mode: int, frequency: float, drift: float, diffusion: float, refractory: float) -> Known:
    """Return inhibition of this structure whose given mode (0: that with the largest eigenvalue) begins to swing."""
    structure = np.array(structure, float)
    (rates,) = coupled_states.search(make([[0.0]], a0=diffusion, current=drift, refractory=refractory)).rates
    rate = float(rates[0])
    eigenvalue = sorted(np.linalg.eigvals(structure), key=lambda x: (-round(x.real, 9), x.imag))[mode]
    answer = -eigenvalue * susceptibility(1j * frequency, rate, drift, diffusion, refractory)
    b = -structure / abs(answer)
    fields = {"a0": diffusion, "current": drift - b.sum(axis=1) * rate, "refractory": refractory}
    return Known(b, fields, float(np.angle(answer) % (2 * np.pi)) / frequency, frequency, rate)


ONE, PAIR, RING = [[1.0]], [[0, 1], [1, 0]], [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
E_I = [[-0.5, 1.2], [-1.3, 0.4]]


@pytest.mark.parametrize("answer_at", [0.3, 2.0, 7.0])
def test_the_answer_of_one_population_is_that_of_the_textbook(answer_at):
    net = make([[1.0]], a0=0.4, current=1.5, refractory=0.1)
    rates = coupled_states.search(net).rates[0]
    drift = float(net.drift(rates)[0])
    mine = coupled_spectrum.Coupled(net, rates).gains(np.array([1j * answer_at]))[0, 0, 0]
    assert mine == pytest.approx(susceptibility(1j * answer_at, float(rates[0]), drift, 0.4, 0.1), rel=1e-8)


def check(given: Known, values) -> None:
    points = coupled_hopf.hopf_points(given.at, given.delay * np.array(values))
    near = min(
        points, key=lambda point: abs(point.value - given.delay) + abs(point.period - 2 * np.pi / given.frequency)
    )
    assert near.value == pytest.approx(given.delay, rel=1e-7)
    assert near.period == pytest.approx(2 * np.pi / given.frequency, rel=1e-7)
    np.testing.assert_allclose(near.rates, given.rate, rtol=1e-9)


@pytest.mark.parametrize("values", [(0.0, 1.2), (0.7, 1.1)])
def test_inhibition_oscillates_from_the_delay_of_the_closed_form_on(values):
    """From no delay at all the growing pair is the continuation of nothing that was there before."""
    check(known(ONE, 0, 7.83, 1.71, 0.83, 0.0), values)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("structure", "mode", "frequency", "drift", "diffusion", "refractory"),
    [
        (PAIR, 0, 6.0, 2.0, 0.45, 0.1),
        (RING, 0, 5.0, 2.5, 0.3, 0.0),
        (RING, 1, 6.0, 2.5, 0.3, 0.1),
        (E_I, 0, 7.0, 2.2, 0.5, 0.05),
    ],
)
def test_pairs_rings_and_excitation_with_inhibition(structure, mode, frequency, drift, diffusion, refractory):
    check(known(structure, mode, frequency, drift, diffusion, refractory), (0.85, 1.1))


@pytest.mark.parametrize(("share", "grows"), [(0.8, False), (1.25, True)])
def test_a_run_settles_below_that_delay_and_swings_above_it(share, grows):
    given = known(ONE, 0, 7.83, 1.71, 0.83, 0.0)
    net, rate = given.at(share * given.delay), np.array([given.rate])
    pair = coupled_spectrum.leading(coupled_spectrum.Coupled(net, rate))[0]
    assert (pair.real > 0) == grows
    run = coupled_run.evolve(net, [Gaussian(0.5, 0.3)], 9.0, cells=200, tolerance=1e-7)
    off = run.rates[:, 0] - given.rate
    peaks = np.flatnonzero((off[1:-1] > off[:-2]) & (off[1:-1] >= off[2:]) & (run.rate_times[1:-1] > 3.0)) + 1
    if not grows:
        growth, _ = np.polyfit(run.rate_times[peaks], np.log(off[peaks]), 1)
        assert growth == pytest.approx(pair.real, rel=0.05)
        assert np.diff(run.rate_times[peaks]).mean() == pytest.approx(2 * np.pi / pair.imag, rel=0.01)
    else:
        assert off[peaks[-1]] > 0.2 * given.rate and off[peaks[-1]] > 0.9 * off[peaks[0]]
