"""What the shell counts of a run: latencies, missed deadlines, the error of the cursor, the digest of the outputs."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from bmi_runtime.messages import STAGES, Bin, StepRecord, TrialState
from bmi_runtime.session.core import Session
from bmi_runtime.session.latency import LatencyHistogram
from bmi_runtime.session.resume import Resumption
from bmi_runtime.tasks.click import CentreOutClick

SOURCE, RECORD = STAGES.index("source"), STAGES.index("record")


class Tally:
    """The figures of one run, which a process that resumes it counts on from.

    Attributes
    ----------
    latency : LatencyHistogram
        From the end of a bin's wait to its record.
    stages : list of LatencyHistogram
        In the order of `STAGES`.
    deadline_misses : int
    squared_error_m2, scored_bins : float, int
        Of the cursor's distance from the target, over the bins in which the subject is asked to be there.
    recording_failed : str or None
        Why nothing is recorded any more.
    """

    def __init__(self) -> None:
        self.digest = hashlib.blake2b(digest_size=16)
        self.latency = LatencyHistogram()
        self.stages = [LatencyHistogram() for _ in STAGES]
        self.deadline_misses = 0
        self.recording_failed: str | None = None
        self.squared_error_m2, self.scored_bins = 0.0, 0

    def add(self, record: StepRecord, duration_ns: int) -> None:
        """Count one bin."""
        self.digest.update(record.output_bytes)
        self._score(record.array["output"][0])
        self.latency.add(duration_ns)
        for histogram, stage_ns in zip(self.stages, record.timing.stage_ns.tolist(), strict=True):
            histogram.add(stage_ns)

    def _score(self, out: np.void) -> None:
        """Add the cursor's distance from the target, while the subject is asked to be there."""
        if out["trial_state"] <= TrialState.HOLD:
            pairs = zip(out["target"][:-1].tolist(), out["cursor"].tolist())
            self.squared_error_m2 += sum((x - goal) * (x - goal) for goal, x in pairs)
            self.scored_bins += 1

    def _named(self) -> dict[str, LatencyHistogram]:
        return {"all": self.latency, **dict(zip(STAGES, self.stages, strict=True))}

    def histograms(self) -> dict[str, Any]:
        """Return all latency histograms, sparse."""
        return {name: histogram.sparse() for name, histogram in self._named().items()}

    def figures(self, last: Bin, bins: int) -> dict[str, Any]:
        """Return what was counted, for the snapshot; `last` is the newest bin of the `bins` done."""
        given = last.fields
        return {
            "squared_error_m2": float(self.squared_error_m2),
            "scored_bins": self.scored_bins,
            "deadline_misses": int(self.deadline_misses),
            "last_bin_index": int(given.bin_index[0]) if bins else None,
            "last_segment": int(given.segment[0]),
            "last_host_ns": int(given.host_time_ns[0]),
            "histograms": self.histograms(),
        }

    def resume(self, resumed: Resumption) -> None:
        """Count on from the figures in a snapshot and the bins recorded after it."""
        figures = resumed.figures
        self.squared_error_m2 = figures.get("squared_error_m2", 0.0)
        self.scored_bins = figures.get("scored_bins", 0)
        missed_since = int(resumed.replayed["timing"]["deadline_missed"].sum())
        self.deadline_misses = figures.get("deadline_misses", 0) + missed_since
        for name, histogram in self._named().items():
            if name in figures.get("histograms", {}):
                histogram.add_sparse(figures["histograms"][name])
        for step in resumed.replayed:
            stage_ns = step["timing"]["stage_ns"].tolist()
            for histogram, duration_ns in zip(self.stages, stage_ns, strict=True):
                histogram.add(duration_ns)
            self.latency.add(sum(stage_ns[SOURCE + 1 : RECORD]) + max(int(step["timing"]["lateness_ns"]), 0))
            self._score(step["output"])

    def result(self, session: Session) -> dict[str, Any]:
        """Return the figures of the run that are of its session and its time."""
        task = session.task
        done = task.successes + task.timeouts
        rmse = (self.squared_error_m2 / self.scored_bins) ** 0.5 if self.scored_bins else None
        return {
            "bins": session.bins,
            "trials": done,
            "successes": task.successes,
            "success_rate": task.successes / done if done else None,
            "rmse_position_m": rmse,
            **({"clicks": task.clicks, "false_clicks": task.false_clicks} if isinstance(task, CentreOutClick) else {}),
            **({"blocks": session.blocks.facts()} if session.blocks else {}),
            "latency_us": self.latency.summary(),
            "deadline_misses": self.deadline_misses,
            "recording_failed": self.recording_failed,
            "output_digest": self.digest.hexdigest(),
        }
