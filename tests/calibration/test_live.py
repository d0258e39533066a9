"""The online pieces on the real adaptive filter: noise variance, drift, monitor, schedules."""

import numpy as np
import pytest

from bmi_runtime.calibration.closed_form import information, steady_state
from bmi_runtime.calibration.design import Design
from bmi_runtime.calibration.drift import Recalibrator, best_rate, drifting_error, estimate_drift
from bmi_runtime.calibration.exact_recursion import exact_steady_state, pack, unpack
from bmi_runtime.calibration.monitor import Limits, Monitor
from bmi_runtime.calibration.noise import NoiseVariance
from bmi_runtime.calibration.schedules import FloorSchedule, floor_schedule, predict_schedule
from bmi_runtime.encoding.adapter import Adapter
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.errors import BadInput


class Bench:
    """Units of known weights on a periodic task, filtered bin by bin from the predicted steady state."""

    def __init__(self, design, rate, copies, seed, initial=None):
        self.rng = np.random.default_rng(seed)
        self.design = design.replaced(
            weights=np.repeat(design.weights, copies, axis=0),
            noise_variance=None if design.noise_variance is None else np.repeat(design.noise_variance, copies),
            names=(),
        )
        self.steady = steady_state(information(self.design), rate)
        self.truth = np.ascontiguousarray(self.design.weights.T)
        n = self.design.units
        cov, error = self.steady.filter_covariance, self.steady.error_covariance
        if initial is not None:
            cov = error = np.repeat(initial * np.eye(3)[None], n, axis=0)
        start = self.truth + np.einsum("nij,nj->in", np.linalg.cholesky(error), self.rng.normal(size=(n, 3)))
        noise = self.design.noise_variance
        self.model = EncodingModel(start, pack(cov), design.likelihood, design.bin_s, noise)
        self.adapter = Adapter(self.model, rate)
        self.start_error = pack(error)
        self.valid = np.ones(n)
        self.dead: list[int] = []

    def monitor(self, window_s=1e6, **options):
        design = self.design
        monitor = Monitor(design.units, 3, design.likelihood, design.bin_s, "bernoulli", window_s, **options)
        monitor.reset(self.start_error)
        return monitor

    def run(self, bins, *watchers, drift=0.0):
        """Run bins; call watchers(t, bench, regressors, counts) after the filter."""
        for t in range(bins):
            velocity = self.design.states[t % len(self.design.states)]
            u = np.array([1.0, *velocity])
            mean = u @ self.truth
            if self.design.likelihood == "gaussian":
                counts = mean + self.rng.normal(size=len(mean)) * np.sqrt(self.design.noise)
                counts[self.dead] = 0.3
            else:
                counts = (self.rng.random(len(mean)) < np.exp(mean) * self.design.bin_s).astype(float)
                counts[self.dead] = 0.0
            self.adapter.update(counts, self.valid, *(velocity / 10))
            for watcher in watchers:
                watcher(t, self, u, counts)
            if drift:
                self.truth += np.sqrt(drift) * self.rng.normal(size=self.truth.shape)


def watch(monitor, events=None, every=10):
    """Return a watcher that feeds a monitor and collects its events."""

    def watcher(t, bench, u, counts):
        model = bench.model
        changed = monitor.update(
            u, counts, bench.valid, bench.adapter.innovation, model.covariance, model.noise_variance
        )
        if changed and events is not None:
            events.extend(monitor.take_events(t))
        if t % every == 0:
            monitor.compare(model.weights, bench.truth)

    return watcher


@pytest.mark.parametrize("rate", [5e-5, 5e-3, 5e-1])
def test_monitor_tracks_the_exact_error_covariance(gaussian_design, rate):
    bench = Bench(gaussian_design, rate, 1, 1)
    monitor = bench.monitor()
    total = np.zeros((4, 3, 3))

    def add(t, *_):
        nonlocal total
        if t >= 6 * 320:
            total += monitor.error_covariance() / 320

    bench.run(7 * 320, watch(monitor), add)
    exact = exact_steady_state(gaussian_design, bench.steady).error_covariance
    np.testing.assert_allclose(total, exact, rtol=1e-4, atol=1e-5 * exact.max())


DRIFTS = [(5e-5, "gaussian_design", 3000), (5e-3, "gaussian_design", 1500), (5e-1, "gaussian_design", 1500)]


@pytest.mark.parametrize(("rate", "name", "bins"), [*DRIFTS, (1e-5, "poisson_design", 12000)])
@pytest.mark.parametrize("relative_drift", [0.0, 1.0, 3.0])
def test_drift_speed_from_the_innovations(request, rate, name, bins, relative_drift):
    """The estimate is unbiased within its own standard error, at every rate and speed."""
    design = request.getfixturevalue(name)
    bench = Bench(design, rate, 120 // design.units, 3)
    monitor = bench.monitor()
    bench.run(bins, watch(monitor, every=10**9), drift=relative_drift * rate)
    found = estimate_drift(monitor.statistics, rate)
    allowed = (4 + relative_drift) * found.ratio_error + (0.25 * relative_drift if name == "poisson_design" else 0.0)
    assert abs(found.ratio - relative_drift) < allowed
    assert found.ratio_error < 0.15


def test_no_false_alarm_and_nominal_coverage(gaussian_design, poisson_design):
    """400 units for some minutes at the predicted steady state: no event, and 95 % bounds that hold 95 %."""
    for design, rate, copies, bins in ((gaussian_design, 5e-4, 100, 4000), (poisson_design, 1e-5, 200, 16000)):
        bench, events = Bench(design, rate, copies, 4), []
        monitor = bench.monitor(window_s=30.0)
        bench.run(bins, watch(monitor, events, every=25))
        assert events == []
        assert 0.94 < monitor.summary()["coverage"].mean() < 0.975


def test_lost_units_are_named_and_come_back(gaussian_design, poisson_design):
    for design, rate, bins in ((gaussian_design, 5e-4, 1500), (poisson_design, 1e-5, 8000)):
        bench, events = Bench(design, rate, 10, 5), []
        monitor = bench.monitor(window_s=20.0)
        bench.run(bins, watch(monitor, events))
        assert events == []
        bench.dead = [3]
        bench.run(bins, watch(monitor, events))
        lost = [event for event in events if event.kind == "unit lost"]
        assert [(event.unit, event.began) for event in lost] == [(3, True)]
        bench.dead = []
        bench.run(bins, watch(monitor, events))
        assert [(e.unit, e.began) for e in events if e.kind == "unit lost"] == [(3, True), (3, False)]


def test_counts_of_rare_spikes_as_features_are_not_lost_until_they_are():
    rng, units, bin_s, bins = np.random.default_rng(2), 100, 0.05, 8000
    share = rng.uniform(0.02, 0.3, units)  # of the bins, with a spike: from one in 2.5 s on
    model = EncodingModel.untrained(share, "gaussian", bin_s, 0.1, share * (1.0 - share))
    adapter, valid, events = Adapter(model, 1e-6), np.ones(units), []
    monitor = Monitor(units, 3, "gaussian", bin_s)
    monitor.reset(model.covariance)
    for k in range(2 * bins):
        counts = (rng.random(units) < share).astype(float)
        counts[:20] *= k < bins
        adapter.update(counts, valid, *(0.1 * rng.standard_normal(2)))
        seen = (adapter.regressors, counts, valid, adapter.innovation, model.covariance, model.noise_variance)
        if monitor.update(*seen):
            events += [event for event in monitor.take_events(k) if event.kind == "unit lost" and event.began]
    assert len([event for event in events if event.unit >= 20 or event.bin < bins]) <= 2  # in 20 hours of one unit
    assert {event.unit for event in events if event.bin >= bins} >= set(range(20))


def test_wrong_noise_and_drifting_tuning_raise_their_events(gaussian_design):
    bench, events = Bench(gaussian_design, 5e-5, 10, 6), []
    bench.model.noise_variance[7] *= 0.5
    monitor = bench.monitor(window_s=30.0)
    bench.run(2500, watch(monitor, events))
    assert {(e.unit, e.kind) for e in events if e.began} == {(7, "rate off")}
    bench.model.noise_variance[7] *= 2.0
    bench.run(4000, watch(monitor, events), drift=40 * 5e-5)
    drifting = {e.unit for e in events if e.kind == "tuning drifting" and e.began}
    assert len(drifting) > 30


def test_monitor_state_restores_to_the_bit(gaussian_design):
    bench = Bench(gaussian_design, 5e-4, 2, 7)
    monitor = bench.monitor(window_s=20.0)
    bench.run(600, watch(monitor))
    saved, twin = monitor.state(), bench.monitor(window_s=20.0)
    twin.restore(saved)
    bench.run(100, watch(monitor), watch(twin))
    for name, value in monitor.state().items():
        np.testing.assert_array_equal(value, twin.state()[name])


def test_invalid_units_are_left_alone(poisson_design):
    bench = Bench(poisson_design, 1e-5, 5, 8)
    monitor = bench.monitor()
    bench.run(4000, watch(monitor))
    bench.valid[4] = 0.0
    before = monitor.statistics[:, 4].copy()
    bench.run(1000, watch(monitor))
    np.testing.assert_array_equal(monitor.statistics[:, 4], before)


@pytest.mark.parametrize("rate", [5e-7, 5e-5, 5e-3, 5e-1])
def test_noise_variance_is_unbiased_at_every_rate(gaussian_design, rate):
    """Within 1 % of the truth over 400 units, while the filter itself uses the running estimate; guesses off by 3."""
    bench = Bench(gaussian_design, rate, 100, 9)
    truth = bench.design.noise
    noise = NoiseVariance(3.0 * truth, bench.start_error)

    def feed(t, b, u, counts):
        noise.update(u, b.valid, b.adapter.innovation, b.model.covariance, b.model.noise_variance)
        b.model.noise_variance[:] = noise.estimate

    bench.run(4000, feed)
    ratio = noise.estimate / truth
    assert ratio.mean() == pytest.approx(1.0, abs=0.01)
    assert ratio.std() < 0.05


def test_textbook_covariance_matching_is_biased(gaussian_design):
    """The reason for the estimator: nu^2 - u'S u, with the filter's own S, misses by tens of percent at s = 5e-1."""
    bench = Bench(gaussian_design, 0.5, 25, 10)
    sums = []

    def textbook(t, b, u, counts):
        prior = np.einsum("nij,i,j->n", unpack(b.model.covariance) + 0.5 * np.eye(3), u, u) if t else 0
        sums.append(b.adapter.innovation**2 - np.where(t > 0, prior, 0.0))

    bench.run(1500, textbook)
    assert (np.mean(sums[100:], axis=0) / bench.design.noise).mean() < 0.7


def test_noise_variance_needs_a_positive_guess():
    with pytest.raises(BadInput, match="unit 1's noise variance is 0"):
        NoiseVariance(np.array([1.0, 0.0]), np.zeros((6, 2)))


def test_recalibrated_rate_finds_the_drift(gaussian_design):
    bench = Bench(gaussian_design, 5e-5, 25, 11)
    monitor, true_drift = bench.monitor(window_s=10.0), 2e-3
    recalibrator = Recalibrator(1e-5, 1e-2, 0.05, every_s=15.0)
    rates = [5e-5]

    def recalibrate(t, b, u, counts):
        proposed = recalibrator.update(t, monitor.statistics, rates[-1])
        if proposed is not None:
            rates.append(proposed)
            b.adapter.set_learning_rate(proposed)

    bench.run(6000, watch(monitor, every=10**9), recalibrate, drift=true_drift)
    assert rates[-1] == pytest.approx(true_drift, rel=0.35)
    assert max(np.abs(np.diff(np.log(rates)))) <= np.log(2) + 1e-12
    bench.run(9000, watch(monitor, every=10**9), recalibrate, drift=0.0)
    assert rates[-1] == 1e-5


def test_recalibrator_bounds():
    with pytest.raises(BadInput, match="leave no room"):
        Recalibrator(1e-3, 1e-4, 0.05)
    monitor = Monitor(2, 3, "poisson", 0.005)
    assert Recalibrator(1e-7, 1e-3, 0.005).update(6000, monitor.statistics, 1e-5) is None
    with pytest.raises(BadInput, match="long enough"):
        estimate_drift(monitor.statistics, 1e-5)


@pytest.mark.parametrize("drift", [1e-6, 1e-3])
def test_best_rate_is_the_drift_and_the_error_its_filter_covariance(gaussian_design, poisson_design, drift):
    info = information(gaussian_design)
    assert best_rate(info, drift) == pytest.approx(drift, rel=1e-3)
    np.testing.assert_allclose(
        drifting_error(info, drift, drift), steady_state(info, drift).filter_covariance, atol=1e-12
    )
    np.testing.assert_allclose(drifting_error(info, drift, 0.0), steady_state(info, drift).error_covariance, atol=1e-15)
    bernoulli = information(poisson_design)
    found = best_rate(bernoulli, drift)
    cost = [np.trace(drifting_error(bernoulli, found * f, drift), axis1=1, axis2=2).sum() for f in (0.9, 1.0, 1.1)]
    assert cost[1] == min(cost)
    with pytest.raises(BadInput, match="no best rate"):
        best_rate(info, 0.0)
    with pytest.raises(BadInput, match="drift"):
        drifting_error(info, 1e-3, -1.0)


def test_schedule_beats_every_fixed_rate_at_every_time(gaussian_design):
    """With the floor's final error, its error is below that of every fixed rate with a final error as small."""
    info = information(gaussian_design)
    initial, floor, bins = 1.0, 5e-6, 4000
    best = predict_schedule(info, floor_schedule(info, floor, initial, bins), initial)
    assert np.all(np.diff(best.sum(axis=2), axis=0) < 0)
    for rate in np.geomspace(floor, 0.5, 13):
        fixed = predict_schedule(info, np.full(bins, rate), initial)
        assert np.all(best.sum(axis=2) <= fixed.sum(axis=2) * (1 + 1e-9))
        steady = predict_schedule(info, np.full(bins, rate), initial, believed=float(np.sqrt(rate)))
        assert np.all(best.sum(axis=2) <= steady.sum(axis=2) * (1 + 1e-9))
    limit = steady_state(info, floor).error_in_modes[:, [0, 1, 2], [0, 1, 2]]
    np.testing.assert_allclose(best[-1], limit, rtol=0.05)


def test_zero_rate_is_recursive_least_squares(gaussian_design):
    info = information(gaussian_design)
    error = predict_schedule(info, np.zeros(500), 2.0)
    expected = 1 / (1 / 2.0 + info.eigenvalues * np.arange(501)[:, None, None])
    np.testing.assert_allclose(error, expected, rtol=1e-10)


@pytest.mark.parametrize(("name", "floor", "bins"), [("gaussian_design", 5e-6, 4000), ("poisson_design", 1e-6, 24000)])
def test_online_schedule_does_what_was_predicted(request, name, floor, bins):
    design = request.getfixturevalue(name)
    bench = Bench(design, floor, 400 // design.units, 12, initial=0.09)
    schedule = FloorSchedule(floor, bench.design.units, design.likelihood, design.bin_s)
    bench.adapter.set_learning_rate(schedule.rate)
    errors = {}

    def feed(t, b, u, counts):
        schedule.update(u, counts, b.valid, b.adapter.innovation, b.model.covariance, b.model.noise_variance)
        b.adapter.set_learning_rate(schedule.rate)
        if (t + 1) in (bins // 8, bins // 2, bins):
            errors[t + 1] = ((b.model.weights - b.truth) ** 2).sum(axis=0)

    bench.run(bins, feed)
    info = information(bench.design)
    predicted = predict_schedule(info, floor_schedule(info, floor, 0.09, bins), 0.09).sum(axis=2)
    for t, squares in errors.items():
        assert squares.mean() == pytest.approx(predicted[t].mean(), rel=0.12)
    assert np.all(schedule.rate == floor)


def test_schedules_need_positive_numbers(gaussian_design):
    with pytest.raises(BadInput, match="floor"):
        floor_schedule(information(gaussian_design), 0.0, 1.0, 10)
    with pytest.raises(BadInput, match="floor"):
        FloorSchedule(-1.0, 3, "poisson", 0.005)


def test_limits_are_in_the_kernels_order():
    assert list(Limits().in_order()) == [5.0, 6.0, 0.2, 5.0, 2.0, 25.0, 0.1, 0.6, 100.0]
    with pytest.raises(BadInput, match="longer than a bin"):
        Monitor(3, 3, "poisson", 0.05, window_s=0.01)


def test_a_design_is_not_needed_for_a_single_dimension():
    """One state dimension works as well: the kernels take any number of regressors."""
    states = np.sin(np.linspace(0, 2 * np.pi, 40, endpoint=False))
    design = Design(states, [[0.5, 1.0]], 0.05, "gaussian", 1.0)
    exact = exact_steady_state(design, steady_state(information(design), 1e-3))
    assert exact.error_covariance.shape == (1, 2, 2)
