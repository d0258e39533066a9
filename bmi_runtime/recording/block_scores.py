"""How each block of a recording went, from its events and its steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from bmi_runtime.messages import TrialState
from bmi_runtime.recording.reader import Recording


class BlockScores:
    """Sums over the steps of each block of a session.

    Parameters
    ----------
    recording : Recording
    """

    def __init__(self, recording: Recording):
        counts = recording.stream_counts
        first = next(iter(recording.messages("snapshot")), (0, {}))[1] if counts.get("snapshot") else {}
        self.offset = recording.first_bin
        self.rows = [_row(score) for score in (first.get("blocks") or {}).get("scores", ())[-1:]]
        for _, event in recording.messages("event") if counts.get("event") else ():
            if event.get("name") == "block":
                self._begin(event)
            elif event.get("name") == "blocks-done" and self.rows:
                self.rows[-1]["ended"] = event.get("why", "")
        begins = [max(row["first_bin"] - self.offset, 0) for row in self.rows]
        self._ends = np.array([*begins[1:], np.iinfo(np.int64).max][: len(begins)], np.int64)
        self._begins = np.array(begins, np.int64)
        names = ("bins", "adapting", "assist", "trials", "successes", "squared", "scored")
        self._sums = {name: np.zeros(len(self.rows)) for name in names}
        self._position, self._before = 0, np.zeros(2)

    def _begin(self, event: dict[str, Any]) -> None:
        if self.rows and self.rows[-1]["first_bin"] == event["first_bin"]:
            self.rows.pop()  # the first snapshot told of it already
        elif self.rows:
            self.rows[-1]["ended"] = event.get("why", "")
        self.rows.append(_row({**event, "name": event["title"]}))

    def add(self, outputs: np.ndarray) -> None:
        """Add the outputs of the next steps."""
        first, last = self._position, self._position + len(outputs)
        counted = np.column_stack([outputs["successes"], outputs["timeouts"]]).astype(float)
        ended = np.diff(counted, axis=0, prepend=self._before[None] if first else counted[:1])
        for row, (begin, end) in enumerate(zip(self._begins, self._ends, strict=True)):
            if begin < last and end > first:
                part = slice(max(begin - first, 0), min(end - first, len(outputs)))
                self._add(row, outputs[part], ended[part])
        self._position, self._before = last, counted[-1] if len(counted) else self._before

    def _add(self, row: int, outputs: np.ndarray, ended: np.ndarray) -> None:
        under_way = outputs["trial_state"] <= TrialState.HOLD
        n = outputs["target"].shape[1] - 1
        apart = outputs["target"][under_way, :n] - outputs["cursor"][under_way, :n]
        sums = {
            "bins": len(outputs),
            "adapting": np.count_nonzero(outputs["adapting"]),
            "assist": outputs["assist"].sum(),
            "trials": ended.sum(),
            "successes": ended[:, 0].sum(),
            "squared": (apart**2).sum(),
            "scored": len(apart),
        }
        for name, value in sums.items():
            self._sums[name][row] += value

    def facts(self, bin_s: float | None) -> list[dict[str, Any]]:
        """Return one dict for each block: what it was, how long, and how it went."""
        found = []
        for row, told in enumerate(self.rows):
            sums = {name: float(values[row]) for name, values in self._sums.items()}
            bins, trials = sums["bins"], sums["trials"]
            found.append(
                told
                | {
                    "bins": int(bins),
                    "duration_s": bins * bin_s if bin_s else None,
                    "trials": int(trials),
                    "successes": int(sums["successes"]),
                    "success_rate": sums["successes"] / trials if trials else None,
                    "hits_per_minute": 60.0 * sums["successes"] / (bins * bin_s) if bins and bin_s else None,
                    "rmse_position_m": (sums["squared"] / sums["scored"]) ** 0.5 if sums["scored"] else None,
                    "adapting": sums["adapting"] / bins if bins else None,
                    "assist": sums["assist"] / bins if bins else None,
                }
            )
        return found


def _row(told: dict[str, Any]) -> dict[str, Any]:
    return {name: told[name] for name in ("block", "name", "kind", "first_bin")} | {"ended": ""}
