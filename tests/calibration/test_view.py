"""The interactive view and the curves behind it."""

import numpy as np
import pytest

from bmi_runtime.calibration.closed_form import information
from bmi_runtime.calibration.forward import predict
from bmi_runtime.calibration.inverse import rate_for_error
from bmi_runtime.calibration.trade_off_curves import Curves
from gui.calibration_view import CalibrationView


def test_curves_say_what_the_prediction_says(gaussian_design):
    curves = Curves(gaussian_design)
    prediction = predict(gaussian_design, 1e-4, exact=False)
    point = curves.at(1e-4)
    assert point.error_sd == pytest.approx(np.sqrt(prediction.closed.largest_error.max()))
    assert point.convergence_s == pytest.approx(prediction.convergence_bins.max() * 0.05)
    assert point.worst_unit == "3"
    curves.choose(1)
    assert curves.at(1e-4).error_sd == pytest.approx(np.sqrt(prediction.closed.largest_error[1]))


def test_exact_points_are_on_the_curve_at_small_rates(poisson_design):
    curves = Curves(poisson_design)
    rates, exact = curves.exact_errors()
    assert exact[0] == pytest.approx(curves.at(rates[0]).error_sd, rel=0.02)


def test_profile_starts_at_one_and_ends_at_the_steady_error(gaussian_design):
    curves = Curves(gaussian_design)
    profile = curves.profile(1e-4)
    assert profile["mean"][0] == pytest.approx(1.0)
    assert profile["sd"][0] == pytest.approx(0.0, abs=1e-12)
    assert profile["mean"][-1] < 0.01
    assert profile["sd"][-1] == pytest.approx(curves.at(1e-4).error_sd, rel=0.01)
    assert np.all(profile["schedule_sd"][1:] <= np.hypot(profile["mean"], profile["sd"])[1:] + 0.02)


def test_dragging_the_rate_moves_everything(qtbot, gaussian_design):
    view = CalibrationView(Curves(gaussian_design))
    qtbot.addWidget(view)
    heard = []
    view.rate_changed.connect(heard.append)
    view._rate_lines[0].setValue(-3.0)
    assert heard[-1] == pytest.approx(1e-3)
    assert view._rate_lines[1].value() == pytest.approx(-3.0)
    assert "0.001" in view.text.text()
    with qtbot.waitSignal(view.rate_accepted) as accepted:
        view.accept_button.click()
    assert accepted.args[0] == pytest.approx(1e-3)


def test_bounds_shade_the_allowed_rates(qtbot, gaussian_design):
    view = CalibrationView(Curves(gaussian_design))
    qtbot.addWidget(view)
    view.set_bounds(0.1, 60.0)
    low, high = view._limits
    assert high == pytest.approx(rate_for_error(gaussian_design, information(gaussian_design), 0.01).learning_rate)
    assert low < high
    np.testing.assert_allclose(view._allowed[0].getRegion(), np.log10([low, high]))
    view.fastest_button.click()
    assert view.rate == pytest.approx(high)
    view.set_bounds(0.01, 5.0)
    assert "no rate keeps both bounds" in view.text.text()
    assert not view._allowed[0].isVisible()
    assert not view.fastest_button.isEnabled()


def test_one_unit_can_be_chosen(qtbot, gaussian_design):
    view = CalibrationView(Curves(gaussian_design))
    qtbot.addWidget(view)
    view.units.setCurrentIndex(2)
    assert "(unit 1)" in view.text.text()
    view.units.setCurrentIndex(0)
    assert "(unit 3)" in view.text.text()
