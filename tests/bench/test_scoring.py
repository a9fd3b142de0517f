"""The benchmark `scoring` with few molecules and a small backbone."""

import contextlib
import importlib.util

import pytest
import torch

from core.bench import other_programs, scoring
from core.bench.trained_predictor import TrainedPredictor, loss_rates, train_predictor
from core.influence.directional import DirectionalDerivative
from core.models.backbones import Untrained

SMALL = scoring.BenchSizes(
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
    return train_predictor(Untrained("molsway-tiny"), SMALL.train, SMALL.target, SMALL.pool, SMALL.batch, SMALL.steps)


@pytest.fixture(scope="module")
def vector(case: TrainedPredictor) -> torch.Tensor:
    return scoring._solve(case, SMALL.tolerance)[0]


def test_every_route_has_a_cost_and_the_same_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    dots = []
    monkeypatch.setattr(scoring, "print_dot", lambda: dots.append("."))
    result = scoring.measure_scoring(Untrained("molsway-tiny"), SMALL)
    routes = {*scoring.ROUTES, scoring.LOOP, scoring.MAPPED}
    costs, agreement = result["extra forward passes a molecule"], result["scores against forward mode"]
    assert (
        set(costs) == routes | set(other_programs.OTHER_PROGRAMS)
        and set(agreement) == routes - {"forward-mode"}
        and dots
    )
    assert all(costs[route] > 0 for route in routes) and all(
        "not run" in costs[name] for name in other_programs.OTHER_PROGRAMS
    )
    assert result["molecules timed"] == 8 and result["residual of the solved vector"] <= SMALL.tolerance
    assert all(one["spearman"] == 1 and one["relative error"] < 0.01 for one in agreement.values())
    assert agreement[scoring.LOOP]["relative error"] < 1e-4 and agreement[scoring.MAPPED]["relative error"] < 1e-4


def test_the_sets_do_not_overlap_and_the_pool_has_its_smiles(case: TrainedPredictor) -> None:
    assert [len(targets) for _, targets in case.pool] == [8, 4] and len(case.smiles) == 12
    ids = case.predictor.encode(case.smiles[:8])["input_ids"]
    assert torch.equal(ids, case.pool[0][0]["input_ids"])
    parts = [targets for part in (case.train, case.target, case.pool) for _, targets in part]
    assert sum(map(len, parts)) == 30 == len(torch.cat(parts).unique())


def test_compare_scores_measures_ranks_and_sizes() -> None:
    true = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert scoring.compare_scores(1.01 * true, true) == {"molecules": 4, "spearman": 1.0, "relative error": 0.01}
    assert scoring.compare_scores(-true, true) == {"molecules": 4, "spearman": -1.0, "relative error": 2.0}


@pytest.mark.parametrize("name", list(other_programs.OTHER_PROGRAMS))
def test_a_missing_program_is_named(name: str, case: TrainedPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with contextlib.ExitStack() as stack:
        assert other_programs.prepare_program(name, case, torch.ones(1), stack) == (
            None,
            "not installed; pip install -r requirements-bench.txt",
        )


def test_a_failing_program_gives_its_reason(case: TrainedPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise TypeError("the mask has to be int")

    monkeypatch.setitem(other_programs.OTHER_PROGRAMS, "json", broken)
    with contextlib.ExitStack() as stack:
        assert other_programs.prepare_program("json", case, torch.ones(1), stack) == (
            None,
            "could not run: TypeError: the mask has to be int",
        )


@pytest.mark.parametrize("name", list(other_programs.OTHER_PROGRAMS))
def test_an_installed_program_scores_the_same_molecules(
    name: str, case: TrainedPredictor, vector: torch.Tensor
) -> None:
    pytest.importorskip(name)
    with contextlib.ExitStack() as stack:
        program, scores = other_programs.prepare_program(name, case, vector, stack)
        assert program is not None, scores
        true = loss_rates(
            case.view, DirectionalDerivative(case.view, program.vector, 0.0, "forward-mode"), case.pool[:1]
        )[: len(scores)]
        assert len(scores) in (4, 8) and scoring.compare_scores(scores, true)["relative error"] < 1e-4
        assert program.score()[1] > 0 and not any("TrackedModule" in type(m).__name__ for m in case.predictor.modules())
