"""A Dask cluster as sweeps, GLM fits and Monte-Carlo runs use it: a scheduler's address, or a job queue's file."""

from __future__ import annotations

import contextlib
import importlib
import logging
import pathlib
from collections.abc import Iterator
from typing import Any

from bmi_runtime.errors import BadInput, BmiError, first_line
from bmi_runtime.security import is_loopback

CONNECT_S = 10.0
"""How long a scheduler may take to answer."""
LARGE_TASK = "10GB"  # Dask advises against tasks of over 10 MB; spike trains of an array are

QUEUES = {  # job queues that dask-jobqueue knows: (module, class)
    "slurm": ("dask_jobqueue", "SLURMCluster"),
    "sge": ("dask_jobqueue", "SGECluster"),
    "pbs": ("dask_jobqueue", "PBSCluster"),
    "lsf": ("dask_jobqueue", "LSFCluster"),
    "oar": ("dask_jobqueue", "OARCluster"),
    "moab": ("dask_jobqueue", "MoabCluster"),
    "htcondor": ("dask_jobqueue", "HTCondorCluster"),
    "local": ("dask_jobqueue.local", "LocalCluster"),  # jobs as processes of this machine: to try a file out
}


TRUSTED = "trusted:"


def checked_scheduler(cluster: str) -> str:
    """Return the address of a scheduler that may be talked to (a file or a name as it is).

    Raises
    ------
    BadInput
        For one on another machine without TLS: whoever reaches it can run anything here, and nothing is encrypted.
        ``trusted:tcp://HOST:PORT`` says that the network is trusted.
    """
    if cluster.startswith(TRUSTED):
        return cluster.removeprefix(TRUSTED)
    if cluster.startswith("tcp://") and not is_loopback(cluster):
        raise BadInput(
            f"the scheduler {cluster} is on another machine and its connections are neither encrypted nor "
            f"authenticated: give tls://... with Dask's certificates configured, or --cluster {TRUSTED}{cluster} where "
            "the network is trusted"
        )
    return cluster


@contextlib.contextmanager
def connected(cluster: str) -> Iterator[Any]:
    """Connect to a Dask cluster: a scheduler's address, or a YAML file for dask-jobqueue (SLURM and others).

    Yields
    ------
    distributed.Client

    Raises
    ------
    BadInput
        When the scheduler is on another machine without TLS, Dask is not installed, the file
        is not one of dask-jobqueue, or no scheduler answers.
    """
    cluster = checked_scheduler(cluster)
    try:
        import dask
        from distributed import Client
    except ImportError:
        raise BadInput("--cluster needs Dask; install bmi-runtime[sweep]") from None
    for name in ("distributed", "distributed.client"):  # they log tracebacks; we say what happened ourselves
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        queued = cluster.endswith((".yaml", ".yml"))
        target = stack.enter_context(queue_cluster(cluster)) if queued else cluster
        stack.enter_context(dask.config.set({"distributed.admin.large-graph-warning-threshold": LARGE_TASK}))
        try:
            client = stack.enter_context(Client(target, timeout=CONNECT_S))
        except (OSError, TimeoutError, ValueError) as error:
            raise BadInput(f"no Dask scheduler answers at {cluster}: {error}") from None
        yield client


@contextlib.contextmanager
def joblib_on(cluster: str | None) -> Iterator[None]:
    """Have joblib's jobs run on a Dask cluster (:func:`connected`); on this machine where `cluster` is None.

    Raises
    ------
    BadInput
        When there is no scheduler, or it has no worker.
    BmiError
        When the scheduler is lost under way, or a task kills every worker that takes it.
    """
    if not cluster:
        yield
        return
    with connected(cluster) as client:
        import joblib

        try:
            client.wait_for_workers(1, timeout=60)
        except TimeoutError:
            raise BadInput(f"the Dask scheduler at {cluster} has no worker; start one with `dask worker`") from None
        with joblib.parallel_config(backend=_backend(client, cluster)):
            yield


def _backend(client: Any, cluster: str) -> Any:
    """Return what joblib hands its jobs to. Its own backend of Dask waits for ever when the scheduler is lost."""
    from concurrent.futures import CancelledError

    from distributed import KilledWorker
    from joblib.parallel import AutoBatchingMixin, ParallelBackendBase

    class Backend(AutoBatchingMixin, ParallelBackendBase):
        supports_retrieve_callback = True
        default_n_jobs = -1

        def effective_n_jobs(self, n_jobs):
            cores = max(2, sum(client.ncores().values()))  # of one job joblib would make none, and run it here
            return cores if n_jobs is None or n_jobs < 0 else max(2, min(n_jobs, cores))

        def submit(self, func, callback=None):
            future = client.submit(func, pure=False, retries=2)
            future.add_done_callback(callback)
            return future

        def retrieve_result_callback(self, future):
            if future.status == "error":
                error = future.exception(timeout=60)
                if isinstance(error, KilledWorker):
                    error = BmiError(f"a task ended every worker of {cluster} that took it (out of memory?)")
                raise error
            try:
                return future.result(timeout=60)
            except (OSError, TimeoutError, CancelledError) as error:
                raise lost(cluster, error, "nothing was written") from None

    return Backend()


def lost(cluster: str, error: BaseException, advice: str) -> BmiError:
    """Return the error that says that the scheduler went away."""
    why = f"{type(error).__name__}: {error}".splitlines()[0]
    return BmiError(f"the Dask scheduler at {cluster} was lost ({why}); {advice}")


def queue_cluster(path: str) -> Any:
    """Return the cluster that a dask-jobqueue configuration file describes, e.g. ``jobqueue: {slurm: {...}}``.

    Beside the settings of dask-jobqueue a key ``jobs`` says how many to queue (2 where it is not given).

    Raises
    ------
    BadInput
        When dask-jobqueue is not installed, the file is not one of its, or a setting is missing or wrong.
    """
    try:
        import dask
        import dask_jobqueue  # noqa: F401
        import yaml
    except ImportError:
        raise BadInput("a job-queue file needs the package dask-jobqueue; pip install dask-jobqueue") from None
    try:
        content = yaml.safe_load(pathlib.Path(path).read_text(encoding="utf-8"))
        ((system, settings),) = content["jobqueue"].items()
        settings = {key.replace("_", "-"): value for key, value in (settings or {}).items()}
        jobs = int(settings.pop("jobs", 2))
    except (OSError, KeyError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
        why = first_line(error)
        raise BadInput(f"{path} is not a dask-jobqueue file (jobqueue: one system: settings): {why}") from None
    if system not in QUEUES:
        raise BadInput(f"{path}: unknown job queue '{system}'; choose from {', '.join(QUEUES)}")
    module, name = QUEUES[system]
    dask.config.set({f"jobqueue.{system}": dask.config.get(f"jobqueue.{system}", {}) | settings})
    cluster = None
    try:
        cluster = getattr(importlib.import_module(module), name)()
        cluster.job_script()  # raises here what is wrong; jobs are made later, in another thread
        cluster.scale(jobs=jobs)
    except Exception as error:  # dask-jobqueue and what it starts raise kinds of their own
        if cluster is not None:
            cluster.close()
        raise BadInput(f"{path}: the job queue '{system}' cannot be used: {first_line(error)}") from None
    return cluster
