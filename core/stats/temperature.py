"""Temperature scaling of logits (Guo et al. 2017, arXiv 1706.04599).

An overfitted classifier is over-confident. Anything that makes it less confident lowers its cross-entropy on other
molecules, even a wrong label. At the best temperature this gains nothing: the rest of the loss measures how well the
classes are separated. Plain numpy.
"""

import numpy as np

MAX_TEMPERATURE = 50.0
BISECTIONS = 40  # of log temperature: to 1e-11 of its range


def fit_temperatures(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Temperatures (q,) of least cross-entropy for logits (q, m) and labels (m,), 0 or 1.

    Between 1 and `MAX_TEMPERATURE`. The lower bound is needed where all labels are classified correctly: the
    cross-entropy then falls down to temperature zero.
    """
    low, high = np.zeros(len(logits)), np.full(len(logits), np.log(MAX_TEMPERATURE))
    if not logits.shape[1]:
        return np.exp(low)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        cooled = logits * np.exp(-middle)[:, None]
        over_confident = ((sigmoid(cooled) - labels) * logits).sum(1) > 0  # the loss falls with a higher temperature
        low, high = np.where(over_confident, middle, low), np.where(over_confident, high, middle)
    return np.where(low > 0, np.exp((low + high) / 2), 1.0)


def cross_entropies(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cross-entropy of every label, in nats."""
    return np.logaddexp(0, logits) - labels * logits


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits."""
    return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
