"""`bmi figures`: files, columns and the sense of their numbers, on the least simulation that draws one."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.calibration import experiments
from bmi_runtime.calibration.experiments import Effort
from bmi_runtime.calibration.figures import draw
from bmi_runtime.cli.figures import figures
from bmi_runtime.errors import BadInput

LEAST = Effort(0.5, 3, 40, 1)


def rows(path):
    """Return the rows of a table."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_figure_and_table_of_adaptation(tmp_path):
    result = CliRunner().invoke(figures, ["4", "--quick", "--out", str(tmp_path), "--json"], catch_exceptions=False,
                                standalone_mode=False)  # fmt: skip
    files = json.loads(result.stdout.splitlines()[-1])["files"]
    assert [name.rpartition("/")[2] for name in files] == ["fig4.png", "fig4.svg", "fig4.csv"]
    assert (tmp_path / "fig4.png").read_bytes()[:4] == b"\x89PNG"
    assert {row["rate"] for row in rows(tmp_path / "fig4.csv")} == {"5e-05", "0.005", "0.5"}


def test_tradeoff_rows_are_near_the_truth():
    table = experiments.tradeoff("gaussian", "periodic", Effort(4.0, 10, 400, 1), lambda _: None, rates=(5e-5, 5e-4))
    assert len(table.rows) == 6
    for row in table.rows:
        assert row["error_exact"] == pytest.approx(row["error_true"], rel=0.25)
        assert row["time_exact_s"] == pytest.approx(row["time_true_s"], rel=0.35)
        assert row["error_true_se"] < 0.1 * row["error_true"]


def test_decoding_improves_with_adaptation(tmp_path):
    draw(8, tmp_path, LEAST, lambda _: None)
    table = rows(tmp_path / "fig8.csv")
    times = sorted({float(row["adaptation_s"]) for row in table})

    def error(rate, time):
        return np.median(
            [float(r["rmse_m"]) for r in table if float(r["rate"]) == rate and float(r["adaptation_s"]) == time]
        )

    assert error(5e-3, times[-1]) < 0.3 * error(5e-3, times[0])
    assert error(5e-1, times[-1]) > 1.5 * error(5e-3, times[-1])


@pytest.mark.slow
@pytest.mark.parametrize("number", [3, 5, 6, 7, 9])
def test_every_figure_draws(tmp_path, number):
    files = draw(number, tmp_path, LEAST, lambda _: None)
    assert {file.suffix for file in files} == {".png", ".svg", ".csv"}
    for file in files:
        if file.suffix == ".csv":
            assert len(rows(file)) >= 8 and all(row.values() for row in rows(file))
        else:
            assert file.stat().st_size > 10_000


def test_first_crossing():
    assert experiments.first_crossing(np.array([1.0, 0.5, 0.1, 0.0]), 10) == pytest.approx(10 * 2.5 + 1)
    assert np.isnan(experiments.first_crossing(np.ones(4), 10))


def test_unknown_figure(tmp_path):
    with pytest.raises(BadInput, match="there is no figure '12'; choose from 2, 3, 4"):
        CliRunner().invoke(figures, ["12"], catch_exceptions=False, standalone_mode=False)


def test_schedule_lies_below_the_trade_off_of_fixed_rates():
    table = experiments.schedule(LEAST, lambda _: None)
    fixed = {row["rate"]: row for row in table.rows if row["kind"] == "fixed"}
    for row in table.rows:
        if row["kind"] == "schedule":
            assert row["convergence_s"] < fixed[row["rate"]]["convergence_s"]
            assert row["steady_error"] == fixed[row["rate"]]["steady_error"]
    assert np.all(np.diff(table.extra["simulated"][1][6:]) < 0)
