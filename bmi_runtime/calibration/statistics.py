"""What a pilot's units are like: rates, tuning, dispersion, correlations in time and between units."""

from __future__ import annotations

import numpy as np

from bmi_runtime.calibration.measured import MeasuredScores

MEMORIES_S = (0.5, 2.0, 10.0)  # of filters, for which the inflation of scores is told
CORRELATION_S = 0.2  # of the bins in which units are correlated
PERCENTILES = (10, 50, 90)  # over units


def pilot_statistics(scores: MeasuredScores) -> dict[str, np.ndarray | float]:
    """Return statistics by which recordings and simulated worlds are compared.

    Returns
    -------
    dict
        Percentiles (10, 50, 90) over units of ``rate_hz`` (Poisson), ``depth`` (length of the gains, per dm/s),
        ``dispersion`` (variance of the score over the model's) and, over units and modes, of ``inflation`` at memories
        of 0.5, 2 and 10 s (memories x percentiles); ``noise_correlation``, the mean over pairs of units of the
        correlation of residuals added up over 0.2 s, and ``noise_correlation_sd``.
    """
    design, bin_s = scores.design, scores.design.bin_s
    flat = np.ones_like(scores.info.eigenvalues)
    inflation = [
        np.percentile(
            np.diagonal(scores._lagged(min(bin_s / memory, 0.999) * flat), axis1=1, axis2=2) / scores.info.eigenvalues,
            PERCENTILES,
        )
        for memory in MEMORIES_S
    ]
    correlation = _noise_correlation(scores.innovation, max(1, round(CORRELATION_S / bin_s)))
    rates = {}
    if design.likelihood == "poisson":
        rates = {"rate_hz": np.percentile(design.expected_counts().mean(axis=0) / bin_s, PERCENTILES)}
    return {
        **rates,
        "depth": np.percentile(np.linalg.norm(design.weights[:, 1:], axis=1), PERCENTILES),
        "dispersion": np.percentile(scores.dispersion(), PERCENTILES),
        "inflation": np.array(inflation),
        "noise_correlation": float(correlation.mean()) if correlation.size else 0.0,
        "noise_correlation_sd": float(correlation.std()) if correlation.size else 0.0,
    }


def _noise_correlation(innovation: np.ndarray, together: int) -> np.ndarray:
    """Return the correlation of every pair of units' residuals, added up over some bins."""
    units, bins = innovation.shape
    if units < 2:
        return np.zeros(0)
    whole = bins // together * together
    summed = innovation[:, :whole].reshape(units, -1, together).sum(axis=2)
    return np.corrcoef(summed)[np.triu_indices(units, 1)]
