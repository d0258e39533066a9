"""What joblib's jobs (GLM fits, Monte-Carlo runs) meet on a Dask cluster: errors, deaths, a scheduler that goes."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from bmi_runtime.calibration.sharing import share
from bmi_runtime.cluster import joblib_on
from bmi_runtime.errors import BadInput, BmiError


def test_jobs_come_back_in_their_order_and_run_elsewhere(cluster):
    with joblib_on(cluster.address):
        assert share(divmod, [(n, 7) for n in range(200)]) == [divmod(n, 7) for n in range(200)]
        assert os.getpid() not in share(os.getpid, 8 * [()])


def test_the_error_of_a_job_is_its_own(cluster):
    with joblib_on(cluster.address), pytest.raises(ZeroDivisionError):
        share(divmod, [(1, 1), (1, 0)])


@pytest.fixture
def impatient(monkeypatch):
    """Have the scheduler give a task up when one worker has died of it."""
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")


@pytest.mark.usefixtures("impatient", "cluster")
def test_a_job_that_kills_its_workers_is_named(cluster):
    with joblib_on(cluster.address), pytest.raises(BmiError, match="ended every worker of tcp"):
        share(os._exit, [(1,)])


def test_a_worker_that_dies_costs_nothing(cluster):
    with joblib_on(cluster.address):
        calls = [(size,) for size in (700, 701, 702, 703)]
        share(os.getpid, 4 * [()])
        cluster.workers[0].kill()
        assert share(np.arange, calls)[3].tolist() == list(range(703))


def test_a_scheduler_that_goes_is_one_sentence(cluster):
    with pytest.raises(BmiError, match=r"was lost .*; nothing was written"), joblib_on(cluster.address):
        threading.Timer(1.0, cluster.scheduler.kill).start()
        share(time.sleep, [(3.0,)] * 4)


def test_a_scheduler_without_workers(cluster, monkeypatch):
    for worker in cluster.workers:
        worker.kill()
    monkeypatch.setattr("distributed.Client.wait_for_workers", _no_worker)
    with pytest.raises(BadInput, match="has no worker; start one with `dask worker`"), joblib_on(cluster.address):
        pass


def _no_worker(client, number, timeout):
    raise TimeoutError


def test_figures_are_the_same_on_a_cluster(tmp_path, cluster):
    pytest.importorskip("matplotlib")
    for folder, more in (("here", ()), ("there", ("--cluster", cluster.address))):
        command = [sys.executable, "-m", "bmi_runtime.cli.main", "figures", "4", "--quick", "--out", folder, *more]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "here" / "fig4.csv").read_bytes() == (tmp_path / "there" / "fig4.csv").read_bytes()
