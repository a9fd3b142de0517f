"""Influence from a fit to scores with a stand-in backbone; refused input; scores of another table."""

import dataclasses

import numpy as np
import pytest
import torch

from core.data.dataset import Dataset
from core.engine.report import Cancelled, Report
from core.engine.spec import BadInput
from core.experiments.influence.influence import score_dataset
from core.influence import directional, linear_system
from core.influence.curvature import Curvature
from core.influence.solvers import CG, SOLVERS, Dual, Exact, LiSSA
from core.influence.solvers.solution import NotSolved
from core.models import backbones
from core.models.predictor import Predictor
from core.results.fit import Fit
from core.results.scores import Scores
from core.selection import Greedy, InformationGain, Top
from core.stats.temperature import fit_temperatures
from tests.experiments.influence.stand_in import SPEC, make_tables, score, score_changed, train_stand_in
from tests.small_models import load_letters, small_predictor


@pytest.fixture(autouse=True)
def letters(monkeypatch):
    monkeypatch.setattr(backbones, "load_backbone", load_letters)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> tuple[dict[str, Dataset], Fit]:
    parts = make_tables()
    return parts, train_stand_in(parts, tmp_path_factory.mktemp("fit"))


@pytest.mark.parametrize("scope", ["all", "head", "last layer"])
@pytest.mark.parametrize(
    "solver", [CG(tolerance=1e-5), LiSSA(depth=800, tolerance=0.1), Dual()], ids=["cg", "lissa", "dual"]
)
def test_scores_and_record(study, scope, solver, tmp_path):
    parts, fit = study
    reports = []
    report = Report(tell=lambda fraction, message, numbers: reports.append((fraction, numbers)))
    scores = score(dataclasses.replace(SPEC, scope=scope, solver=solver), study, report)
    table, record = scores.table, scores.record
    assert (table["smiles"] == parts["pool"].smiles).all() and len(scores.vector) == record["parameters"]
    predicted = fit.predictions  # of the fit's parts; the same predictor predicts the pool
    assert table["prediction"].between(predicted["prediction"].min() - 40, predicted["prediction"].max() + 40).all()
    assert np.allclose(table["residual"], table["prediction"] - parts["pool"].targets[:, 0])
    assert np.allclose(table["influence"], -2 * table["residual"] * table["slope"], rtol=1e-4)  # in mg²
    assert (
        np.allclose(table["delta_loss"], table["influence"] / 40) and (table["benefit"] == -table["delta_loss"]).all()
    )
    assert record["unit"] == "(mg)²" and record["n_train"] == 40 and record["cells_train"] == 40
    assert record["digests"]["pool"] == parts["pool"].digest and record["fit"] == SPEC.fit.key
    assert record["converged"] and record["residual"] <= solver.tolerance and record["solver"]["kind"] == solver.kind
    assert record["step_check"] < 0.02 and record["forward_mode_rms"] < 0.01 and record["forward_mode_check"] < 0.05
    assert {"delta_loss", "residual"} <= set(record["detection"]) and record["detection"]["residual"]["auroc"] > 0.8
    fractions = [fraction for fraction, _ in reports]
    assert fractions[0] == 0 and max(fractions) > 0.95
    assert any({"step", "residual"} <= set(numbers) for _, numbers in reports)
    scores.save(tmp_path)
    assert Scores.load(tmp_path).summary()["rows"] == len(parts["pool"])


@pytest.mark.parametrize("kinds", ["one", "three", "binary"])
@pytest.mark.parametrize("scope", ["all", "head"])
def test_dual_gives_full_updates_intervals_and_leave_one_out(kinds, scope, tmp_path):
    parts = make_tables(3 if kinds == "three" else 1, binary=kinds == "binary")
    study = parts, train_stand_in(parts, tmp_path)
    scores = score(dataclasses.replace(SPEC, scope=scope), study)
    table, record = scores.table, scores.record
    assert record["solver"]["chosen"] == "dual" and record["pairs_check"]["off"] < 0.02
    assert (table["delta_loss_low"] <= table["delta_loss"] + 1e-9).mean() > 0.9
    assert (table["delta_loss"] <= table["delta_loss_high"] + 1e-9).mean() > 0.9
    known = table["delta_loss"].notna()
    assert known.any() and (table["whole_step"].notna() == known).all() and (table["leverage"] > 0).all()
    assert (table["whole_step_low"] <= table["whole_step_high"])[known].all()
    assert 0 <= record["pairs_check"]["delta_loss_clear"] <= known.sum()
    assert record["pairs_check"]["spearman"] > 0.5
    stable = record["stability"]
    assert set(stable) == {"third", "thrice"} and all(0.5 < one["spearman"] <= 1 for one in stable.values())
    training = scores.training
    assert (training["smiles"] == parts["train"].smiles).all()
    end = ":t1" if kinds == "three" else ""
    assert np.allclose(training["removal"], -training["influence"] / record["cells_train"], equal_nan=True)
    h, known = training[f"leverage{end}"], training[f"label{end}"].notna()
    assert (h.notna() == known).all() and h[known].between(0, 1).all()
    outward = training[f"leave_one_out{end}"].abs() - training[f"residual{end}"].abs()
    assert (outward[known] >= -1e-9).all(), "leave-one-out residuals are larger"
    scores.save(tmp_path)
    again = Scores.load(tmp_path)
    assert again.training.equals(training) and set(again.linearized) == set(scores.linearized)
    assert all(
        np.array_equal(again.linearized[name], scores.linearized[name], equal_nan=True) for name in scores.linearized
    )


def test_leave_one_out_matches_a_refit_of_the_last_layer(tmp_path):
    """Leave-one-out residuals and the full update against ridge regressions on the last layer's inputs."""
    parts = make_tables()
    fit = train_stand_in(parts, tmp_path)
    predictor = Predictor.load(tmp_path / "predictor").double()
    scaled = predictor.scale_labels(parts["train"].targets)
    last, damping = predictor.head[-1], 0.3
    with torch.no_grad():
        batch = predictor.encode(list(parts["train"].smiles))
        x = torch.cat([predictor.last_features(batch), torch.ones(40, 1)], 1).double()

        def solved(rows: torch.Tensor) -> torch.Tensor:
            a = 2 * x[rows].T @ x[rows] / 40 + damping * torch.eye(x.shape[1])
            return torch.linalg.solve(a, 2 * x[rows].T @ scaled[rows] / 40)

        whole = solved(torch.arange(40))
        last.weight.copy_(whole[:-1].T)
        last.bias.copy_(whole[-1])
    predictor.save(tmp_path / "other" / "predictor")
    spec = dataclasses.replace(SPEC, scope="last layer", damping=damping)
    scores = score(spec, (parts, dataclasses.replace(fit, folder=tmp_path / "other")))
    spread = float(predictor.spread[0])
    for row in (0, 7, 39):
        others = torch.cat([torch.arange(row), torch.arange(row + 1, 40)])
        true = float((x[row] @ solved(others) - scaled[row]) * spread)
        assert scores.training["leave_one_out"][row] == pytest.approx(true, rel=1e-3)
    features = torch.cat(
        [x, torch.cat([predictor.last_features(predictor.encode([parts["pool"].smiles[3]])), torch.ones(1, 1)], 1)]
    )
    labels = torch.cat([scaled, predictor.scale_labels(parts["pool"].targets[3:4])])
    a = 2 * features.T @ features / 40 + damping * torch.eye(x.shape[1])
    more = torch.linalg.solve(a, 2 * features.T @ labels / 40)
    more, whole = more.detach(), whole.detach()
    aims = predictor.encode(list(parts["valid"].smiles))
    target_features, goals = (
        torch.cat([predictor.last_features(aims), torch.ones(15, 1)], 1),
        predictor.scale_labels(parts["valid"].targets),
    )
    true = (
        float(
            ((target_features.detach() @ more - goals) ** 2).mean()
            - ((target_features.detach() @ whole - goals) ** 2).mean()
        )
        * spread**2
    )
    assert scores.table["whole_step"][3] == pytest.approx(true, rel=1e-3)


@pytest.mark.parametrize("columns", ["without a target column", "with an empty one"])
def test_pool_without_labels_gets_information_gain(study, columns):
    parts, fit = study
    pool = parts["pool"]
    bare = dataclasses.replace(pool, targets=np.full((len(pool), 1), np.nan), columns={})
    if columns == "without a target column":
        bare = dataclasses.replace(bare, targets=np.empty((len(pool), 0)), tasks=(), unit=())
    scores, labelled = SPEC.make(Report(), fit, bare, parts["valid"]), score(SPEC, study)
    table = scores.table
    assert table["delta_loss"].isna().all() and np.allclose(
        table["slope"], labelled.table["slope"], rtol=1e-3, atol=1e-6
    )
    assert np.allclose(table["information"], labelled.table["information"], rtol=1e-4)
    assert table["information"].between(0, 1).all() and scores.record["digests"]["pool"] == bare.digest
    assert any("no molecule of the pool has a label" in text for text in scores.record["warnings"])
    rows = InformationGain(count=5)(bare, scores)
    assert rows[0] == table["information"].argmax() and len(set(rows.tolist())) == 5
    with pytest.raises(BadInput, match="select by expected information"):
        Top(count=3)(bare, scores)


def test_other_dampings_are_solved_unless_turned_off(study):
    scores = score(dataclasses.replace(SPEC, solver=CG(tolerance=1e-4)), study)
    assert scores.record["stability"]["third"]["molecules"] == len(scores.table)
    assert "whole_step" not in scores.table and "leverage" not in scores.training and not scores.linearized
    assert not score(dataclasses.replace(SPEC, solver=CG(), stability=False), study).record["stability"]
    same = score(SPEC, study).record["stability"]
    for name in ("third", "thrice"):
        assert same[name]["spearman"] == pytest.approx(scores.record["stability"][name]["spearman"], abs=0.01)


def test_damping_can_be_matched_to_the_target_error(study):
    _, fit = study
    plain, scores = score(SPEC, study), score(dataclasses.replace(SPEC, matched=True), study)
    assert scores.record["damping"] == pytest.approx(plain.record["matched_damping"]) != plain.record["damping"]
    assert scores.record["damping_from"].startswith("matched") and scores.record["residual"] < 1e-3
    labels, predictions, _ = fit.matrices("valid")
    for one in (plain, scores):
        left = one.training["leave_one_out"]
        assert float((left**2).mean()) == pytest.approx(float(((labels - predictions) ** 2).mean()), rel=1e-2)
    for change in ({"solver": CG()}, {"damping": 0.5}):
        unmatched = score(dataclasses.replace(SPEC, matched=True, **change), study)
        assert any("was not matched to the target's error" in text for text in unmatched.record["warnings"])
    assert not any("was not matched" in text for text in scores.record["warnings"])
    repeat = score(dataclasses.replace(SPEC, damping=scores.record["damping"]), study)
    assert np.allclose(repeat.table["delta_loss"], scores.table["delta_loss"], rtol=2e-2, atol=1e-4)
    assert np.allclose(repeat.table["whole_step"], scores.table["whole_step"], rtol=2e-2, atol=1e-4)


def test_curvature_sample_gives_leverages_of_the_sample_only(study):
    scores = score(dataclasses.replace(SPEC, curvature_rows=25), study)
    assert scores.training["leverage"].notna().sum() == 25 and scores.training["removal"].notna().all()


def test_solvers_and_routes_agree_on_the_ranking(study):
    base = score(dataclasses.replace(SPEC, solver=CG(tolerance=1e-6)), study).table["delta_loss"]
    for change in (
        {"route": "central"},
        {"route": "forward-mode"},
        {"solver": LiSSA(depth=1200, tolerance=0.05)},
        {"solver": Dual()},
    ):
        other = score(dataclasses.replace(SPEC, **{"solver": CG(tolerance=1e-6)} | change), study).table["delta_loss"]
        assert base.corr(other, method="spearman") > 0.98


def test_exact_solver_is_the_limit_of_conjugate_gradients(study):
    exact = score(dataclasses.replace(SPEC, solver=Exact(), scope="last layer"), study)
    tended = score(dataclasses.replace(SPEC, solver=CG(tolerance=1e-6), scope="last layer"), study)
    assert exact.record["steps"] == exact.record["parameters"] and exact.record["residual"] < 1e-4
    assert 0 < exact.record["solver"]["lowest"] < exact.record["solver"]["highest"]
    assert np.allclose(exact.table["delta_loss"], tended.table["delta_loss"], rtol=1e-3, atol=1e-6)
    with pytest.raises(NotSolved, match="choose the scope “last layer”"):
        score(dataclasses.replace(SPEC, solver=Exact(most=50)), study)


def test_dual_refuses_the_hessian_and_too_many_cells(study):
    with pytest.raises(NotSolved, match="needs the Gauss-Newton curvature"):
        score(dataclasses.replace(SPEC, solver=Dual(), curvature="hessian", damping=2.0), study)
    with pytest.raises(NotSolved, match=r"40 measured training cells.* takes 39 at most; set `curvature_rows`"):
        score(dataclasses.replace(SPEC, solver=Dual(most=39)), study)
    fewer = score(dataclasses.replace(SPEC, solver=Dual(most=39), curvature_rows=20), study).record
    assert fewer["solver"]["cells"] == 20 and fewer["residual"] < 1e-4


def test_batch_size_does_not_matter_and_curvature_rows_are_reported(study):
    base = score(SPEC, study)
    other = score(dataclasses.replace(SPEC, batch_size=7, damping=base.record["damping"]), study)
    assert np.allclose(base.table["delta_loss"], other.table["delta_loss"], rtol=0.05, atol=1e-4)
    assert "Hutchinson" in base.record["damping_from"] and other.record["damping_from"] == "given"
    fewer = score(dataclasses.replace(SPEC, curvature_rows=20), study).record
    assert fewer["curvature_rows"] == 20 and any(
        "uses 20 of 40 training molecules" in text for text in fewer["warnings"]
    )


def test_default_damping_is_the_mean_non_zero_eigenvalue(study):
    exact = score(dataclasses.replace(SPEC, solver=Dual()), study).record
    trace = exact["solver"]["trace"]  # of the Gram matrix, so of the undamped curvature
    base = score(dataclasses.replace(SPEC, solver=CG(tolerance=1e-5)), study)
    assert base.record["damping"] == base.record["trace"] / 40 == pytest.approx(trace / 40, rel=0.5)
    assert base.record["damping"] > 5 * trace / base.record["parameters"], (
        "not the mean over all weights, where most eigenvalues are 0"
    )
    repeat = dataclasses.replace(SPEC, solver=CG(tolerance=1e-5), damping=base.record["damping"])
    assert np.allclose(score(repeat, study).table["influence"], base.table["influence"], rtol=1e-3, atol=1e-3)
    bare = score(dataclasses.replace(repeat, solver=Dual(), damping=1e-3 * base.record["damping"]), study)
    assert np.linalg.norm(bare.vector) > 3 * np.linalg.norm(base.vector)
    assert base.table["influence"].corr(bare.table["influence"], method="spearman") < 0.98


def test_one_system_is_solved_for_any_number_of_batches(study, monkeypatch):
    parts, fit = study
    products, gradients = [], []
    multiply, gradient = Curvature.__matmul__, linear_system.target_gradient
    monkeypatch.setattr(Curvature, "__matmul__", lambda self, vector: products.append(1) or multiply(self, vector))
    monkeypatch.setattr(linear_system, "target_gradient", lambda *args: gradients.append(1) or gradient(*args))
    spec, counts, batches = dataclasses.replace(SPEC, batch_size=4, damping=0.5), [], []
    sweeps = directional.DirectionalDerivative.__call__
    monkeypatch.setattr(
        directional.DirectionalDerivative, "__call__", lambda self, *args: batches.append(1) or sweeps(self, *args)
    )
    for rows in (4, len(parts["pool"])):
        products.clear(), batches.clear()
        scores = spec.make(Report(), fit, parts["pool"].take(np.arange(rows)), parts["valid"])
        counts.append((len(products), len(batches)))
    assert counts[0][0] == counts[1][0] > 0 and counts[0][1] < counts[1][1] and len(gradients) == 2
    products.clear()
    score_dataset(scores, fit, parts["test"])
    assert not products and len(gradients) == 2


def test_hessian_of_an_unfinished_fit_is_refused_at_small_damping(study):
    with pytest.raises(NotSolved, match="Hessian's eigenvalues reach from -"):
        score(dataclasses.replace(SPEC, curvature="hessian", damping=1e-6), study)
    scores = score(dataclasses.replace(SPEC, curvature="hessian", damping=2.0), study)
    assert scores.record["lowest_eigenvalue"] < 0 and scores.record["converged"]


@pytest.mark.parametrize("shape", [{"tasks": 3}, {"binary": True}], ids=["several", "binary"])
def test_missing_labels_and_binary_tasks(shape, tmp_path):
    parts = make_tables(**shape)
    study = parts, train_stand_in(parts, tmp_path)
    scores = score(SPEC, study)
    finite = scores.table["delta_loss"].notna()
    assert (finite == ~np.isnan(parts["pool"].targets).all(1)).all()
    if "tasks" in shape:
        assert {"residual:t0", "slope:t1", "prediction:t2"} <= set(scores.table) and "scaled" in scores.record["unit"]
    else:
        assert scores.table["prediction"].between(0, 1).all() and scores.record["unit"] == "nat (cross-entropy)"
        logits = scores.linearized["target_outputs"][:, 0]
        (heat,) = fit_temperatures(logits[None], parts["valid"].targets[:, 0])
        assert scores.record["temperatures"] == pytest.approx([heat], rel=1e-3)
        sure = [text for text in scores.record["warnings"] if "over-confident" in text]
        assert len(sure) == (heat > 1.25)
        assert scores.record["pairs_check"]["off"] < 0.05  # ΔL by directional derivatives and by pairs
    assert len(Greedy(count=5)(parts["pool"], scores)) == 5


def test_another_table_is_scored_with_the_stored_vector(study):
    parts, fit = study
    scores = score(SPEC, study)
    again = score_dataset(scores, fit, parts["pool"])
    assert np.allclose(again["delta_loss"], scores.table["delta_loss"], rtol=1e-3, atol=1e-4)
    bare = dataclasses.replace(parts["test"], targets=np.full((len(parts["test"]), 1), np.nan))
    table = score_dataset(scores, fit, bare)
    assert table["delta_loss"].isna().all() and table["slope"].notna().all()
    with pytest.raises(BadInput, match="the table measures"):
        score_dataset(scores, fit, dataclasses.replace(bare, tasks=("other",)))


def test_interrupted_run_does_not_solve_again(study, tmp_path):
    def stop_at_the_pool(fraction, message, numbers):
        if fraction > 0.75:
            raise Cancelled(message)

    with pytest.raises(Cancelled):
        score(SPEC, study, Report(tell=stop_at_the_pool, scratch=tmp_path))
    phases = []
    scores = score(
        SPEC, study, Report(tell=lambda f, m, numbers: phases.append(numbers.get("phase")), scratch=tmp_path)
    )
    assert "solving" not in phases and "scoring the pool" in phases
    assert np.allclose(scores.table["delta_loss"], score(SPEC, study).table["delta_loss"], rtol=1e-4, atol=1e-6)


def test_cancelled_run_stops_within_one_product(study):
    reports = []
    report = Report(
        tell=lambda fraction, message, numbers: reports.append(numbers),
        cancelled=lambda: bool(reports) and reports[-1].get("step") == 2,
    )
    with pytest.raises(Cancelled):
        score(dataclasses.replace(SPEC, solver=CG(tolerance=1e-8)), study, report)
    assert reports[-1]["phase"] == "solving" and reports[-1]["step"] == 2


def test_bad_tables_are_refused(study):
    parts, _ = study
    pool = parts["pool"]
    empty = np.full((len(pool), 1), np.nan)
    for change, message in (
        ({"target": dataclasses.replace(pool, targets=empty)}, "the target has no measured label"),
        ({"pool": dataclasses.replace(pool, tasks=("other",))}, r"the pool measures \['other'\], the model \['t0'\]"),
        ({"target": dataclasses.replace(parts["valid"], tasks=("other",))}, "the target measures"),
        ({"pool": parts["train"]}, "are in the training part already"),
        ({"pool": parts["train"].take(np.arange(12))}, "all 12 molecules of the pool are in the training part"),
    ):
        with pytest.raises(BadInput, match=message):
            score_changed(study, **change)


def test_doubtful_scores_come_with_warnings(study):
    parts, _ = study
    texts = score_changed(study, target=parts["test"]).record["warnings"]
    assert any("cannot be tested on it" in text for text in texts)
    joined = Dataset(
        np.concatenate([parts["pool"].smiles, parts["valid"].smiles[:3]]),
        np.concatenate([parts["pool"].targets, parts["valid"].targets[:2], [[np.nan]]]),
        ("t0",),
        ("g",),
    )
    texts = score_changed(study, pool=joined).record["warnings"]
    assert any("3 of 34 pool molecules are in the target too, ignoring stereochemistry" in text for text in texts)
    assert any("1 of 34 pool molecules have no label" in text for text in texts)
    assert any("is in g in the pool, in mg in the model" in text for text in texts)
    with pytest.raises(BadInput, match="1 of 34 scores are not finite"):
        Top(count=3)(joined, score_changed(study, pool=joined))


def test_predictor_with_nans_gives_no_scores(study, tmp_path):
    parts, fit = study
    predictor = small_predictor()
    predictor.head[0].weight.data[0, 0] = float("nan")
    predictor.save(tmp_path / "predictor")
    with pytest.raises(NotSolved, match="not finite"):
        score(SPEC, (parts, dataclasses.replace(fit, folder=tmp_path)))


def test_constant_predictor_gives_no_scores(study, tmp_path):
    parts, fit = study
    predictor = small_predictor()
    for weight in predictor.head.parameters():
        weight.data.zero_()
    predictor.save(tmp_path / "predictor")
    with pytest.raises(NotSolved, match=r"score would be|scores would be|scores are"):
        score(dataclasses.replace(SPEC, scope="head"), (parts, dataclasses.replace(fit, folder=tmp_path)))


def test_settings_are_checked_on_creation():
    for change in ({"damping": 0.0}, {"scope": "body"}, {"curvature_rows": -1}, {"solver": "direct"}):
        with pytest.raises(BadInput, match=f"influence.{next(iter(change))}"):
            dataclasses.replace(SPEC, **change)
    assert set(SOLVERS) == {"auto", "cg", "lissa", "dual", "exact", "gradient-similarity"}
