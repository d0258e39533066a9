"""The bias that a unit's own past gives its weights: on recordings, and on spikes drawn from the fitted units.

    python benchmarks/own_past.py RECORDING ... [--history-s 0.02,0.1,0.3]

The units of each recording (as `bmi figures real` takes them: 24 at most) are fitted with the velocity alone and with
their own past. The live filter runs along the recording from the weights that fit it best; how far its mean is from
them, in standard deviations of the measured scores, is held against the same filter on spikes that the fitted units
drew themselves, and achieved over measured variance is given. Medians over the units; those that run away on their own
spikes (their drawn rate is more than one and a half times the recorded one) are left out of the drawn numbers, and
counted. Prints a table and one JSON line.
"""

import argparse
import json
import os
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from bmi_runtime.calibration.along_pilot import adapted
from bmi_runtime.calibration.beyond_linear import departure
from bmi_runtime.calibration.measured import MeasuredScores, burn_in_bins
from bmi_runtime.calibration.pilot_states import past_counts
from bmi_runtime.calibration.recordings import standardised
from bmi_runtime.calibration.screening import fit_usable
from bmi_runtime.encoding.regressors import Regressors

RATES = (1e-5, 1e-4, 1e-3)


def with_past(pilot, history_s):
    """Return the pilot with each unit's own counts among its regressors."""
    kinds = Regressors(pilot.states.shape[1], ("velocity", "history"), history_s)
    return replace(pilot, kinds=kinds, own=past_counts(pilot.counts, history_s, pilot.bin_s))


def judged(scores, rate):
    """Return what the filter's weights did along a pilot, and what they do on drawn spikes, in predicted deviations."""
    pilot, design, state = scores.pilot, scores.design, scores.at(rate)
    along = adapted(pilot, design.weights, state.filter_covariance, rate)
    along = along[burn_in_bins(len(along), state) :]
    sd = np.sqrt(np.diagonal(scores.error_covariance(state), axis1=1, axis2=2))
    found = {
        "bias": np.median((along.mean(axis=0).T - design.weights) / sd, axis=0).tolist(),
        "variance": np.median(along.var(axis=0).T / sd**2, axis=0).tolist(),
    }
    if drawn := departure(design, scores.info, rate):
        settled = np.isfinite(drawn.bias).all(axis=1)
        found["drawn_bias"] = np.median((drawn.bias_at(rate) / sd)[settled], axis=0).tolist()
        found["of_settled"] = np.median(((along.mean(axis=0).T - design.weights) / sd)[settled], axis=0).tolist()
        found["run_away"] = int(np.sum(~settled))
    return found


def main():
    """Print a line for each recording, model and rate, and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", nargs="+")
    parser.add_argument("--history-s", default="0.02,0.1,0.3")
    options, rows = parser.parse_args(), []
    history_s = tuple(float(part) for part in options.history_s.split(","))
    shown = lambda values: " ".join(f"{value:+6.2f}" for value in values)  # noqa: E731
    for path in options.recordings:
        pilot = standardised(path, "poisson")
        for name, some in (("velocity", pilot), ("velocity, own past", with_past(pilot, history_s))):
            scores = MeasuredScores(fit_usable(some))
            for rate in RATES:
                row = {"recording": os.path.basename(path), "model": name, "rate": rate} | judged(scores, rate)
                rows.append(row)
                print(f"{row['recording']}, {name}, r = {rate:g}, {scores.design.units} units", flush=True)
                for key in ("bias", "of_settled", "drawn_bias", "variance"):
                    if key in row:
                        print(f"  {key:12} {shown(row[key])}", flush=True)
                if "run_away" in row:
                    print(f"  {row['run_away']} units run away on their own spikes")
    print(json.dumps({"own_past": rows}))


if __name__ == "__main__":
    main()
