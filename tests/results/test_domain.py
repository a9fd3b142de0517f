"""The applicability domain sees size: homologous series leave it, look less similar and get wider intervals."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.chem.extent import measure_extent
from core.results import domain
from core.results.calibration import Calibration
from core.results.domain import Domain, TrainingRange
from core.results.fit import PARTS, Fit

CHAINS = [
    head + "C" * n + tail for n in range(1, 13) for head in ("", "O", "N", "CO") for tail in ("C", "O", "=O", "N")
]
SHORT = ["FCF", "FC(F)C(F)F", "c1ccccc1", "Cc1ccccc1", "c1ccc(cc1)-c1ccccc1", "CC(=O)O", "OCCOCCO", "NCCNCCN"]
SMALL = list(dict.fromkeys(CHAINS + SHORT))  # of 2 to 15 heavy atoms, neutral
SERIES = {
    "alkanes": ["C" * n for n in range(1, 41)],
    "alcohols": ["C" * n + "O" for n in range(1, 41)],
    "fatty acids": ["C" * n + "C(=O)O" for n in range(1, 41)],
    "polyethylene glycols": ["O" + "CCO" * n for n in range(1, 31)],
    "polyamines": ["N" + "CCN" * n for n in range(1, 31)],
    "perfluoroalkanes": ["F" + "C(F)(F)" * n + "F" for n in range(1, 31)],
    "polycations": ["C" + "C[N+](C)(C)" * n + "C" for n in range(1, 16)],
    "polyanions": ["C" + "C(C(=O)[O-])" * n + "C" for n in range(1, 16)],
    "oligophenyls": ["c1ccccc1" + "-c1ccc(cc1)" * n + "-c1ccccc1" for n in range(1, 9)],
}


def make_fit(smiles: list[str], kind: str = "regression", spread: bool = False, seed: int = 0) -> Fit:
    """A fit of 0.6, 0.2 and 0.2 of `smiles` whose errors are random, larger for larger molecules."""
    random = np.random.default_rng(seed)
    parts = np.repeat(PARTS, np.diff([0, int(0.6 * len(smiles)), int(0.8 * len(smiles)), len(smiles)]))
    table = pd.DataFrame({"part": parts, "smiles": random.permutation(np.array(smiles, object)), "task": "y"})
    sizes = table["smiles"].str.len().to_numpy()
    table["label"] = sizes + random.normal(0, 0.1 * sizes)
    table["prediction"] = sizes.astype(float)
    if kind == "binary":
        table["label"] = random.integers(0, 2, len(sizes)).astype(float)
        table["prediction"] = np.clip(0.6 * table["label"] + random.uniform(0, 0.4, len(sizes)), 0, 1)
    if spread:
        table["spread"] = random.uniform(0.05, 0.5, len(sizes))
    record = {"tasks": ["y"], "kinds": [kind], "unit": [""]}
    return Fit(pd.DataFrame(), table, record, Path())


@pytest.mark.parametrize("ensemble", [False, True])
@pytest.mark.parametrize("series", SERIES)
def test_homologous_series_leave_the_domain(series: str, ensemble: bool) -> None:
    calibration = Calibration.of(make_fit(SMALL * 2, spread=ensemble))
    position = calibration.locate(SERIES[series])
    sizes, rows = measure_extent(SERIES[series])[:, 0], np.arange(len(SERIES[series]))
    tail = rows[rows > rows[position.distance == 0].max(initial=-1)]  # all after the last one inside
    long = rows[sizes > calibration.domain.range.high[0]]
    assert len(long) > 3 and set(long) <= set(tail) and calibration.is_remote(position)[tail].all()
    assert all("training set" in position.outside[row] for row in tail)
    assert (np.diff(position.similarity[long]) < 0.001).all() and (np.diff(position.distance[tail]) >= 0).all()
    assert position.similarity[long[-1]] < 0.8 * position.similarity[long[0]]
    spread = np.full((len(SERIES[series]), 1), 1e-3) if ensemble else None  # the members agree: no evidence there
    low, high = calibration.interval_bounds(np.zeros((len(position.distance), 1)), position, spread)
    width = (high - low)[:, 0]
    assert (np.diff(width[tail]) >= 0).all() and width[-1] > 3 * width[tail].min() / (1 + position.distance[tail[0]])
    test = calibration.locate(list(make_fit(SMALL * 2).matrices("test")[2]))
    inside = calibration.interval_bounds(np.zeros((len(test.distance), 1)), test, None if spread is None else
                                         np.full((len(test.distance), 1), 0.3))  # fmt: skip
    assert width[-1] > 2 * (inside[1] - inside[0]).max()


def test_words_name_what_is_outside() -> None:
    trained = TrainingRange.of(["CC", "CCC", "C" * 14, "CCO"])
    distance, outside = trained.measure(["C" * 24, "CCC", "C[Si](C)C", "CC[NH3+]", "c1ccccc1Br", "[Na+].[Cl-]"])
    assert outside[0].startswith("24 heavy atoms, training set 2–14; 21 rotatable bonds, training set 0–11; logP ")
    assert outside[1] == "" and distance[1] == 0
    assert "element Si, not in the training set" in outside[2] and distance[2] >= 1
    assert "net charge +1, training set 0" in outside[3] and "element N, not in" in outside[3]
    assert "1 ring, training set 0" in outside[4] and "element Br" in outside[4]
    assert "2 components, training set 1" in outside[5] and "elements Cl, Na, not in the training set" in outside[5]
    assert "1 heavy atom, training set 2–14" in trained.measure(["C"])[1][0]
    charged = TrainingRange.of(["CC(=O)[O-]", "CC[NH3+]"]).measure(["[O-]C(=O)CC(=O)[O-]"])[1][0]
    assert "net charge −2, training set −1 to +1" in charged


def test_one_large_molecule_does_not_make_large_ones_familiar() -> None:
    trained = TrainingRange.of([*["C" * (2 + n % 13) for n in range(400)], "C" * 80])
    distance, outside = trained.measure(["C" * 24, "C" * 14])
    assert distance[0] > 2 and distance[1] == 0 and "24 heavy atoms, 99 % of the training set 2–14" in outside[0]


def test_a_large_training_set_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain, "SAMPLE", 100)
    trained = TrainingRange.of([*["C" * (2 + n % 13) for n in range(1001)], "C[Si](C)C"])
    distance, outside = trained.measure(["C" * 24, "C" * 14, "C[Si](C)C"])
    assert distance[0] > 2 and distance[1] == 0 and "24 heavy atoms, 99 % of the training set 2–14" in outside[0]
    assert "element" not in outside[2]  # elements are those of all molecules


def test_no_training_molecules_and_no_queries() -> None:
    assert TrainingRange.of([]).measure(["CCO"])[0] == 0
    position = Domain.of(["CCO", "CC"]).locate([])
    assert position.similarities.shape == (0, 2) and position.distance.shape == (0,) and position.outside == []


def test_coverage_of_exchangeable_molecules_stays() -> None:
    shares, flagged = [], []
    for seed in range(20):
        fit = make_fit(SMALL * 5, seed=seed)
        calibration = Calibration.of(fit)
        shares.append(calibration.test_coverage(fit)[0]["share"])
        flagged.append((calibration.locate(list(fit.matrices("test")[2])).distance > 0).mean())
    assert 0.87 < np.mean(shares) < 0.93 and np.mean(flagged) < 0.05


def test_probabilities_tell_less_beyond_the_range() -> None:
    calibration = Calibration.of(make_fit(SMALL * 2, "binary"))
    position = calibration.locate(SERIES["alkanes"][3:])
    low, high = calibration.interval_bounds(np.full((len(position.distance), 1), 0.95), position, None)
    width = (high - low)[:, 0]
    assert (np.diff(width) >= -1e-12).all() and width[0] < 0.5 < width[-1] <= 1
    assert (low >= 0).all() and (high <= 1).all()
