"""Temperature: what the logits of a class are divided by to fit labels best (Guo et al. 2017, arXiv 1706.04599).

A network that has learned its training part by heart is too sure of itself. Whatever makes it less sure lowers its
cross-entropy on others, a wrong label too: at the best temperature that gains nothing, and what is left of the loss is
how well the classes are told apart. Plain numpy.
"""

import numpy as np

MAX_TEMPERATURE = 50.0
BISECTIONS = 40  # of the range of its logarithm: to 1e-11 of it


def fit_temperatures(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(q,) of the logits (q, m) by the labels (m,), 0 or 1: of all from 1 to `MAX_TEMPERATURE` that of least cross-entropy.

    None is below 1: a network that tells all labels right would have none above zero.
    """
    low, high = np.zeros(len(logits)), np.full(len(logits), np.log(MAX_TEMPERATURE))
    if not logits.shape[1]:
        return np.exp(low)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        cooled = logits * np.exp(-middle)[:, None]
        too_sure = ((sigmoid(cooled) - labels) * logits).sum(1) > 0  # the loss falls with a higher temperature
        low, high = np.where(too_sure, middle, low), np.where(too_sure, high, middle)
    return np.where(low > 0, np.exp((low + high) / 2), 1.0)


def cross_entropies(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cross-entropy of every cell, nat."""
    return np.logaddexp(0, logits) - labels * logits


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits."""
    return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
