"""The benchmark `solvers` with few molecules and a small backbone."""

import pytest

import core.experiments  # noqa: F401 (imported before the default backbone is replaced)
from core.bench import solvers
from core.models.backbones import Untrained


def test_every_solver_is_compared_with_the_dual(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "TRAIN": 24,
        "TARGET": 8,
        "POOL": 16,
        "BATCH": 8,
        "STEPS": 10,
        "DEPTH": 20,
        "HEAD": 50,
    }.items():
        monkeypatch.setattr(solvers, name, value)
    monkeypatch.setattr("core.models.backbones.Pretrained", lambda name="": Untrained("molsway-tiny"))
    results = solvers.run()
    assert results["training molecules"] == 24 and results["weights"] > 300_000
    head = results.pop("head, after the feature pass")
    assert head["molecules"] == 50 and head["residual"] <= 1e-4 and head["weights"] < results["weights"]
    small = results.pop("small network")
    assert small["dual"]["spearman with the dense answer"] > 0.9999
    assert min(small[f"lissa, seed {seed}"]["spearman with the dense answer"] for seed in range(5)) > 0.98
    assert (
        small["gradient-similarity"]["spearman with the dense answer"]
        < small["cg to 1e-2"]["spearman with the dense answer"]
    )
    by_name = {name: result for name, result in results.items() if isinstance(result, dict)}
    assert set(by_name) == {"dual", "cg to 1e-2", "cg to 1e-2, 6 cells first", "lissa", "gradient-similarity"}
    assert by_name["cg to 1e-2, 6 cells first"]["residual"] <= 1e-2
    assert small["cg to 1e-2, 100 cells first"]["steps"] < small["cg to 1e-2"]["steps"]
    assert by_name["gradient-similarity"]["residual"] > by_name["cg to 1e-2"]["residual"]
    assert by_name["dual"]["residual"] <= 1e-4 and by_name["dual"]["times the dual's seconds"] == 1
    assert by_name["dual"]["spearman with the dual"] == 1
    assert by_name["cg to 1e-2"]["residual"] <= 1e-2 and by_name["cg to 1e-2"]["spearman with the dual"] > 0.95
