"""The benchmark of scoring, on few molecules of a small backbone."""

import contextlib
import importlib.util

import pytest
import torch

from core.bench import other_programs, scoring
from core.bench.trained_predictor import TrainedPredictor, loss_rates, train_predictor
from core.influence.directional import DirectionalDerivative
from core.models.backbones import Untrained

FEW = scoring.BenchSizes(
    train=12,
    target=6,
    pool=12,
    batch=8,
    steps=5,
    loop_molecules=3,
    chunk=3,
    tolerance=0.1,
    repeats=1,
    slow=1,
    other_programs=False,
)


@pytest.fixture(scope="module")
def case() -> TrainedPredictor:
    return train_predictor(Untrained("molsway-tiny"), FEW.train, FEW.target, FEW.pool, FEW.batch, FEW.steps)


@pytest.fixture(scope="module")
def vector(case: TrainedPredictor) -> torch.Tensor:
    return scoring._solve(case, FEW.tolerance)[0]


def test_every_route_has_its_price_and_the_same_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    monkeypatch.setattr(scoring, "print_dot", lambda: said.append("."))
    found = scoring.measure_scoring(Untrained("molsway-tiny"), FEW)
    routes = {*scoring.ROUTES, scoring.LOOP, scoring.MAPPED}
    prices, near = found["extra forward passes a molecule"], found["scores beside those of forward mode"]
    assert (
        set(prices) == routes | set(other_programs.OTHER_PROGRAMS) and set(near) == routes - {"forward-mode"} and said
    )
    assert all(prices[route] > 0 for route in routes) and all(
        "not run" in prices[name] for name in other_programs.OTHER_PROGRAMS
    )
    assert found["molecules that are timed"] == 8 and found["residual of the solved vector"] <= FEW.tolerance
    assert all(one["spearman"] == 1 and one["relative error"] < 0.01 for one in near.values())
    assert near[scoring.LOOP]["relative error"] < 1e-4 and near[scoring.MAPPED]["relative error"] < 1e-4


def test_the_parts_do_not_overlap_and_the_pool_is_told_by_name(case: TrainedPredictor) -> None:
    assert [len(targets) for _, targets in case.pool] == [8, 4] and len(case.smiles) == 12
    ids = case.predictor.encode(case.smiles[:8])["input_ids"]
    assert torch.equal(ids, case.pool[0][0]["input_ids"])
    parts = [targets for part in (case.train, case.target, case.pool) for _, targets in part]
    assert sum(map(len, parts)) == 30 == len(torch.cat(parts).unique())


def test_agreement_counts_ranks_and_sizes() -> None:
    true = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert scoring.compare_scores(1.01 * true, true) == {"molecules": 4, "spearman": 1.0, "relative error": 0.01}
    assert scoring.compare_scores(-true, true) == {"molecules": 4, "spearman": -1.0, "relative error": 2.0}


@pytest.mark.parametrize("name", list(other_programs.OTHER_PROGRAMS))
def test_what_is_not_installed_is_said(name: str, case: TrainedPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda asked: None)
    with contextlib.ExitStack() as stack:
        assert other_programs.prepare_program(name, case, torch.ones(1), stack) == (
            None,
            "not installed; pip install -r requirements-bench.txt",
        )


def test_why_a_peer_cannot_run_is_said(case: TrainedPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise TypeError("the mask wants to be of int")

    monkeypatch.setitem(other_programs.OTHER_PROGRAMS, "json", broken)
    with contextlib.ExitStack() as stack:
        assert other_programs.prepare_program("json", case, torch.ones(1), stack) == (
            None,
            "could not run: TypeError: the mask wants to be of int",
        )


@pytest.mark.parametrize("name", list(other_programs.OTHER_PROGRAMS))
def test_an_installed_peer_scores_the_same_molecules_as_it_should(
    name: str, case: TrainedPredictor, vector: torch.Tensor
) -> None:
    pytest.importorskip(name)
    with contextlib.ExitStack() as stack:
        peer, scores = other_programs.prepare_program(name, case, vector, stack)
        assert peer is not None, scores
        true = loss_rates(case.view, DirectionalDerivative(case.view, peer.vector, 0.0, "forward-mode"), case.pool[:1])[
            : len(scores)
        ]
        assert len(scores) in (4, 8) and scoring.compare_scores(scores, true)["relative error"] < 1e-4
        assert peer.score()[1] > 0 and not any("TrackedModule" in type(m).__name__ for m in case.predictor.modules())
