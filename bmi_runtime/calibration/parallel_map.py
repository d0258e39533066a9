"""Independent calls of one function shared among cores, or among the machines of a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def share(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], workers: int | None = None) -> list[Any]:
    """Return what `function` answers to each of `calls`, in their order.

    Through joblib: threads of this process, since kernels release the interpreter's lock and a process of its own would
    load them again; within ``joblib.parallel_config(backend="dask")`` the cluster's processes. The base install has no
    joblib; the same threads then come from the standard library.

    Parameters
    ----------
    function : callable
        Spends its time in kernels. Pickled where it goes to a cluster.
    calls : sequence of tuple
        Arguments of each call.
    workers : int, optional
        How many run at once; by default one a core, or all of the cluster.
    """
    try:
        import joblib
    except ImportError:
        with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
            return list(pool.map(lambda call: function(*call), calls))
    work = (joblib.delayed(function)(*call) for call in calls)
    return joblib.Parallel(n_jobs=workers or -1, prefer="threads")(work)
