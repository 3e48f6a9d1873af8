"""The statistical test that the studies share."""

import numpy as np
from scipy import stats


def paired(gains: np.ndarray, share: float) -> tuple[float, float, float, float]:
    """Return mean, 95 % interval and p-value of paired differences by the corrected t-test of Nadeau and Bengio (2003).

    Runs share training data, so the variance of the mean is (1 / runs + test / training size) times that of the differences.

    Args:
        gains: differences, one per run.
        share: size of the test sets relative to the training sets.
    """
    n, mean = len(gains), float(np.mean(gains))
    spread = max(float(np.std(gains, ddof=1)) * np.sqrt(1 / n + share), 1e-12)
    half = float(stats.t.ppf(0.975, n - 1)) * spread
    return mean, mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / spread, n - 1))
