"""What joblib's jobs (GLM fits, Monte-Carlo runs) meet on a Dask cluster: errors, deaths, a scheduler that goes."""

import os
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner

from bmi_runtime.calibration.parallel_map import share
from bmi_runtime.cli.figures import figures
from bmi_runtime.cluster import joblib_on
from bmi_runtime.errors import BadInput, BmiError


def test_a_cluster_from_its_first_job_to_the_loss_of_its_scheduler(cluster):
    with joblib_on(cluster.address):
        assert share(divmod, [(n, 7) for n in range(200)]) == [divmod(n, 7) for n in range(200)]
        assert os.getpid() not in share(os.getpid, 8 * [()])
        with pytest.raises(ZeroDivisionError):  # the error of a job is its own
            share(divmod, [(1, 1), (1, 0)])
        cluster.workers[0].kill()  # a worker that dies costs nothing
        assert [len(found) for found in share(np.arange, [(size,) for size in range(700, 704)])] == [700, 701, 702, 703]
        threading.Timer(0.5, cluster.scheduler.kill).start()
        with pytest.raises(BmiError, match=r"was lost .*; nothing was written"):
            share(time.sleep, [(2.0,)] * 4)


@pytest.fixture
def impatient(monkeypatch):
    """Have the scheduler give a task up when one worker has died of it."""
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")


@pytest.mark.usefixtures("impatient")
def test_a_job_that_kills_its_workers_is_named(request):
    cluster = request.getfixturevalue("cluster")
    with joblib_on(cluster.address), pytest.raises(BmiError, match="ended every worker of tcp"):
        share(os._exit, [(1,)])


def test_a_scheduler_without_workers(cluster, monkeypatch):
    def no_worker(client, number, timeout):
        raise TimeoutError

    monkeypatch.setattr("distributed.Client.wait_for_workers", no_worker)
    with pytest.raises(BadInput, match="has no worker; start one with `dask worker`"), joblib_on(cluster.address):
        pass


def test_the_simulations_of_the_figures_go_to_the_cluster(tmp_path, cluster, monkeypatch):
    """That they are the same numbers there is tested beside the Monte-Carlo."""
    pytest.importorskip("matplotlib")
    processes = []

    def draw(*_):
        processes.extend(share(os.getpid, 4 * [()]))
        return []

    monkeypatch.setattr("bmi_runtime.calibration.figures.draw", draw)
    for more in ([], ["--cluster", cluster.address]):
        arguments = ["4", "--out", str(tmp_path), *more]
        CliRunner().invoke(figures, arguments, catch_exceptions=False, standalone_mode=False)
    assert set(processes[:4]) == {os.getpid()}
    assert len(processes) == 8 and os.getpid() not in processes[4:]
