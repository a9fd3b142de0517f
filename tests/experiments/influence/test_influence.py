"""The whole route from a fit to scores, with a stand-in backbone; what is refused; what a further table is given."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from core.data.dataset import Dataset
from core.engine.report import Cancelled, Report
from core.engine.spec import BadInput
from core.experiments.data.load import Load
from core.experiments.data.split import split_table
from core.experiments.influence.influence import Influence, score_dataset
from core.experiments.training.finetune import FineTune
from core.influence import directional, linear_system
from core.influence.curvature import Curvature
from core.influence.solvers import CG, SOLVERS, Dual, Exact, LiSSA
from core.influence.solvers.solution import NotSolved
from core.models import backbones
from core.models.predictor import Predictor
from core.results.fit import PARTS, Fit, prediction_table
from core.results.scores import Scores
from core.selection import Greedy, InformationGain, Top
from core.stats.temperature import fit_temperatures
from tests.small_models import load_letters, small_predictor, train_predictor

TRAIN, VALID, TEST, POOL = split_table(Load("bundled:solubility"), valid=0.2, test=0.1, pool=0.3)
RECIPE = Influence(FineTune(TRAIN, VALID, TEST), POOL, VALID, batch_size=16)


def tables(tasks: int = 1, binary: bool = False) -> dict[str, Dataset]:
    """Four parts of sixty molecules; the label is the share of oxygen, in odd units, with noise; a few pool labels wrong."""
    generator = np.random.default_rng(0)
    ends = ("", "O", "N", "(C)O", "c1ccccc1", "=O", "Cl", "S")
    smiles = np.array(["C" * n + end for n in range(2, 14) for end in ends], object)
    value = np.array([100 * text.count("O") / len(text) + 40 for text in smiles]) + generator.normal(size=len(smiles))
    targets = np.stack([value, np.array([len(text) for text in smiles]), value > np.median(value)], 1)[:, :tasks]
    targets = (value > np.median(value))[:, None].astype(float) if binary else targets
    if tasks > 1:
        targets[generator.random(targets.shape) < 0.2] = np.nan
    whole = Dataset(
        smiles, targets, tuple(f"t{k}" for k in range(targets.shape[1])), ("mg",) + ("",) * (targets.shape[1] - 1)
    )
    rows = np.split(generator.permutation(len(smiles)), [40, 55, 65])
    found = {name: whole.take(part) for name, part in zip((*PARTS, "pool"), rows, strict=True)}
    planted = np.arange(len(found["pool"])) < 6
    labels = found["pool"].targets.copy()
    if not binary:
        labels[planted, 0] += 60
    found["pool"] = dataclasses.replace(found["pool"], targets=labels, columns={"mislabelled": planted})
    return found


def fitted(found: dict[str, Dataset], folder) -> Fit:
    """A trained stand-in, as `FineTune` leaves it."""
    train = found["train"]
    predictor = train_predictor(small_predictor(train.kinds), list(train.smiles), train.targets, 200)
    predictor.tasks = train.tasks
    predictor.save(folder / "predictor")
    predictions = pd.concat(
        [prediction_table(name, found[name], predictor.predict(list(found[name].smiles))) for name in PARTS]
    )
    record = {
        "tasks": list(train.tasks),
        "kinds": list(train.kinds),
        "unit": list(train.unit),
        "digests": {name: found[name].digest for name in PARTS},
        "method": {"kind": "full"},
        "metrics": {},
    }
    return Fit(pd.DataFrame(), predictions, record, folder)


@pytest.fixture(autouse=True)
def letters(monkeypatch):
    monkeypatch.setattr(backbones, "load_backbone", load_letters)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> tuple[dict[str, Dataset], Fit]:
    found = tables()
    return found, fitted(found, tmp_path_factory.mktemp("fit"))


def scored(recipe: Influence, study, report: Report | None = None) -> Scores:
    found, fit = study
    return recipe.make(report or Report(), fit, found["pool"], found["valid"])


@pytest.mark.parametrize("scope", ["all", "head", "last layer"])
@pytest.mark.parametrize(
    "solver", [CG(tolerance=1e-5), LiSSA(depth=800, tolerance=0.1), Dual()], ids=["cg", "lissa", "dual"]
)
def test_scores_and_their_record(study, scope, solver, tmp_path):
    found, fit = study
    told = []
    report = Report(tell=lambda fraction, message, numbers: told.append((fraction, numbers)))
    scores = scored(dataclasses.replace(RECIPE, scope=scope, solver=solver), study, report)
    table, record = scores.table, scores.record
    assert (table["smiles"] == found["pool"].smiles).all() and len(scores.vector) == record["parameters"]
    predicted = fit.predictions  # of the fit's own parts; the pool's come out of the same predictor
    assert table["prediction"].between(predicted["prediction"].min() - 40, predicted["prediction"].max() + 40).all()
    assert np.allclose(table["residual"], table["prediction"] - found["pool"].targets[:, 0])
    assert np.allclose(table["influence"], -2 * table["residual"] * table["slope"], rtol=1e-4)  # in mg²
    assert (
        np.allclose(table["delta_loss"], table["influence"] / 40) and (table["benefit"] == -table["delta_loss"]).all()
    )
    assert record["unit"] == "(mg)²" and record["n_train"] == 40 and record["cells_train"] == 40
    assert record["digests"]["pool"] == found["pool"].digest and record["fit"] == RECIPE.fit.key
    assert record["converged"] and record["residual"] <= solver.tolerance and record["solver"]["kind"] == solver.kind
    assert record["step_check"] < 0.02 and record["forward_mode_rms"] < 0.01 and record["forward_mode_check"] < 0.05
    assert {"delta_loss", "residual"} <= set(record["detection"]) and record["detection"]["residual"]["auroc"] > 0.8
    fractions = [fraction for fraction, _ in told]
    assert (
        fractions[0] == 0 and max(fractions) > 0.95 and any({"step", "residual"} <= set(numbers) for _, numbers in told)
    )
    scores.save(tmp_path)
    assert Scores.load(tmp_path).summary()["rows"] == len(found["pool"])


@pytest.mark.parametrize("kinds", ["one", "three", "binary"])
@pytest.mark.parametrize("scope", ["all", "head"])
def test_the_dual_tells_whole_steps_intervals_and_molecules_left_out(kinds, scope, tmp_path):
    found = tables(3 if kinds == "three" else 1, binary=kinds == "binary")
    study = found, fitted(found, tmp_path)
    scores = scored(dataclasses.replace(RECIPE, scope=scope), study)
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
    assert (training["smiles"] == found["train"].smiles).all()
    end = ":t1" if kinds == "three" else ""
    assert np.allclose(training["removal"], -training["influence"] / record["cells_train"], equal_nan=True)
    h, known = training[f"leverage{end}"], training[f"label{end}"].notna()
    assert (h.notna() == known).all() and h[known].between(0, 1).all()
    outward = training[f"leave_one_out{end}"].abs() - training[f"residual{end}"].abs()
    assert (outward[known] >= -1e-9).all(), "a molecule fits worse without itself"
    scores.save(tmp_path)
    again = Scores.load(tmp_path)
    assert again.training.equals(training) and set(again.tangent) == set(scores.tangent)
    assert all(np.array_equal(again.tangent[name], scores.tangent[name], equal_nan=True) for name in scores.tangent)


def test_leaving_a_training_molecule_out_is_what_the_last_layer_says_fitted_without_it(tmp_path):
    """Ridge regression on what enters the last layer, from the very optimum, against the residual by its leverage."""
    found = tables()
    fit = fitted(found, tmp_path)
    predictor = Predictor.load(tmp_path / "predictor").double()
    scaled = predictor.scale_labels(found["train"].targets)
    last, damping = predictor.head[-1], 0.3
    with torch.no_grad():
        batch = predictor.encode(list(found["train"].smiles))
        x = torch.cat([predictor.last_features(batch), torch.ones(40, 1)], 1).double()

        def solved(rows: torch.Tensor) -> torch.Tensor:
            a = 2 * x[rows].T @ x[rows] / 40 + damping * torch.eye(x.shape[1])
            return torch.linalg.solve(a, 2 * x[rows].T @ scaled[rows] / 40)

        whole = solved(torch.arange(40))
        last.weight.copy_(whole[:-1].T)
        last.bias.copy_(whole[-1])
    predictor.save(tmp_path / "other" / "predictor")
    recipe = dataclasses.replace(RECIPE, scope="last layer", damping=damping)
    scores = scored(recipe, (found, dataclasses.replace(fit, folder=tmp_path / "other")))
    spread = float(predictor.spread[0])
    for row in (0, 7, 39):
        others = torch.cat([torch.arange(row), torch.arange(row + 1, 40)])
        true = float((x[row] @ solved(others) - scaled[row]) * spread)
        assert scores.training["leave_one_out"][row] == pytest.approx(true, rel=1e-3)
    taken = torch.cat(
        [x, torch.cat([predictor.last_features(predictor.encode([found["pool"].smiles[3]])), torch.ones(1, 1)], 1)]
    )
    labels = torch.cat([scaled, predictor.scale_labels(found["pool"].targets[3:4])])
    a = 2 * taken.T @ taken / 40 + damping * torch.eye(x.shape[1])
    more = torch.linalg.solve(a, 2 * taken.T @ labels / 40)
    more, whole = more.detach(), whole.detach()
    aims = predictor.encode(list(found["valid"].smiles))
    seen, goals = (
        torch.cat([predictor.last_features(aims), torch.ones(15, 1)], 1),
        predictor.scale_labels(found["valid"].targets),
    )
    true = (
        float(((seen.detach() @ more - goals) ** 2).mean() - ((seen.detach() @ whole - goals) ** 2).mean()) * spread**2
    )
    assert scores.table["whole_step"][3] == pytest.approx(true, rel=1e-3)


@pytest.mark.parametrize("columns", ["without a target column", "with an empty one"])
def test_a_pool_without_labels_is_told_what_measuring_would_tell(study, columns):
    found, fit = study
    pool = found["pool"]
    bare = dataclasses.replace(pool, targets=np.full((len(pool), 1), np.nan), columns={})
    if columns == "without a target column":
        bare = dataclasses.replace(bare, targets=np.empty((len(pool), 0)), tasks=(), unit=())
    scores, labelled = RECIPE.make(Report(), fit, bare, found["valid"]), scored(RECIPE, study)
    table = scores.table
    assert table["delta_loss"].isna().all() and np.allclose(
        table["slope"], labelled.table["slope"], rtol=1e-3, atol=1e-6
    )
    assert np.allclose(table["information"], labelled.table["information"], rtol=1e-4)
    assert table["information"].between(0, 1).all() and scores.record["digests"]["pool"] == bare.digest
    assert any("no molecule of the pool has a label" in text for text in scores.record["warnings"])
    kept = InformationGain(count=5)(bare, scores)
    assert kept[0] == table["information"].argmax() and len(set(kept.tolist())) == 5
    with pytest.raises(BadInput, match="choose by what measuring them would tell"):
        Top(count=3)(bare, scores)


def test_other_dampings_are_solved_for_unless_that_is_turned_off(study):
    scores = scored(dataclasses.replace(RECIPE, solver=CG(tolerance=1e-4)), study)
    assert scores.record["stability"]["third"]["molecules"] == len(scores.table)
    assert "whole_step" not in scores.table and "leverage" not in scores.training and not scores.tangent
    assert not scored(dataclasses.replace(RECIPE, solver=CG(), stability=False), study).record["stability"]
    same = scored(RECIPE, study).record["stability"]
    for name in ("third", "thrice"):
        assert same[name]["spearman"] == pytest.approx(scores.record["stability"][name]["spearman"], abs=0.01)


def test_the_damping_can_be_matched_to_the_targets_error(study):
    _, fit = study
    plain, scores = scored(RECIPE, study), scored(dataclasses.replace(RECIPE, matched=True), study)
    assert scores.record["damping"] == pytest.approx(plain.record["matched_damping"]) != plain.record["damping"]
    assert scores.record["damping_from"].startswith("matched") and scores.record["residual"] < 1e-3
    labels, predictions, _ = fit.matrices("valid")
    for one in (plain, scores):
        left = one.training["leave_one_out"]
        assert float((left**2).mean()) == pytest.approx(float(((labels - predictions) ** 2).mean()), rel=1e-2)
    for change in ({"solver": CG()}, {"damping": 0.5}):
        unmatched = scored(dataclasses.replace(RECIPE, matched=True, **change), study)
        assert any("was not matched to the target's error" in text for text in unmatched.record["warnings"])
    assert not any("was not matched" in text for text in scores.record["warnings"])
    given = scored(dataclasses.replace(RECIPE, damping=scores.record["damping"]), study)
    assert np.allclose(given.table["delta_loss"], scores.table["delta_loss"], rtol=2e-2, atol=1e-4)
    assert np.allclose(given.table["whole_step"], scores.table["whole_step"], rtol=2e-2, atol=1e-4)


def test_a_sample_of_the_training_part_tells_leverages_of_itself_alone(study):
    scores = scored(dataclasses.replace(RECIPE, curvature_rows=25), study)
    assert scores.training["leverage"].notna().sum() == 25 and scores.training["removal"].notna().all()


def test_solvers_and_routes_agree_on_the_ranking(study):
    base = scored(dataclasses.replace(RECIPE, solver=CG(tolerance=1e-6)), study).table["delta_loss"]
    for change in (
        {"route": "central"},
        {"route": "forward-mode"},
        {"solver": LiSSA(depth=1200, tolerance=0.05)},
        {"solver": Dual()},
    ):
        other = scored(dataclasses.replace(RECIPE, **{"solver": CG(tolerance=1e-6)} | change), study).table[
            "delta_loss"
        ]
        assert base.corr(other, method="spearman") > 0.98


def test_for_the_last_layer_the_exact_solver_is_what_conjugate_gradients_tend_to(study):
    exact = scored(dataclasses.replace(RECIPE, solver=Exact(), scope="last layer"), study)
    tended = scored(dataclasses.replace(RECIPE, solver=CG(tolerance=1e-6), scope="last layer"), study)
    assert exact.record["steps"] == exact.record["parameters"] and exact.record["residual"] < 1e-4
    assert 0 < exact.record["solver"]["lowest"] < exact.record["solver"]["highest"]
    assert np.allclose(exact.table["delta_loss"], tended.table["delta_loss"], rtol=1e-3, atol=1e-6)
    with pytest.raises(NotSolved, match="choose the scope “last layer”"):
        scored(dataclasses.replace(RECIPE, solver=Exact(most=50)), study)


def test_the_dual_refuses_the_hessian_and_more_cells_than_it_was_allowed(study):
    with pytest.raises(NotSolved, match="needs the Gauss-Newton curvature"):
        scored(dataclasses.replace(RECIPE, solver=Dual(), curvature="hessian", damping=2.0), study)
    with pytest.raises(NotSolved, match=r"40 measured training cells.* takes 39 at most; set `curvature_rows`"):
        scored(dataclasses.replace(RECIPE, solver=Dual(most=39)), study)
    fewer = scored(dataclasses.replace(RECIPE, solver=Dual(most=39), curvature_rows=20), study).record
    assert fewer["solver"]["cells"] == 20 and fewer["residual"] < 1e-4


def test_batches_do_not_matter_but_rows_of_the_curvature_are_told(study):
    base = scored(RECIPE, study)
    other = scored(dataclasses.replace(RECIPE, batch_size=7, damping=base.record["damping"]), study)
    assert np.allclose(base.table["delta_loss"], other.table["delta_loss"], rtol=0.05, atol=1e-4)
    assert "Hutchinson" in base.record["damping_from"] and other.record["damping_from"] == "given"
    fewer = scored(dataclasses.replace(RECIPE, curvature_rows=20), study).record
    assert fewer["curvature_rows"] == 20 and any("of 20 of 40 training molecules" in text for text in fewer["warnings"])


def test_a_damping_left_empty_is_the_mean_eigenvalue_of_as_many_as_there_are_cells_and_matters(study):
    exact = scored(dataclasses.replace(RECIPE, solver=Dual()), study).record
    trace = exact["solver"]["trace"]  # of the Gram matrix, so of the undamped curvature
    base = scored(dataclasses.replace(RECIPE, solver=CG(tolerance=1e-5)), study)
    assert base.record["damping"] == base.record["trace"] / 40 == pytest.approx(trace / 40, rel=0.5)
    assert base.record["damping"] > 5 * trace / base.record["parameters"], (
        "no mean over all weights, most of which are 0"
    )
    given = dataclasses.replace(RECIPE, solver=CG(tolerance=1e-5), damping=base.record["damping"])
    assert np.allclose(scored(given, study).table["influence"], base.table["influence"], rtol=1e-3, atol=1e-3)
    bare = scored(dataclasses.replace(given, solver=Dual(), damping=1e-3 * base.record["damping"]), study)
    assert np.linalg.norm(bare.vector) > 3 * np.linalg.norm(base.vector)
    assert base.table["influence"].corr(bare.table["influence"], method="spearman") < 0.98


def test_one_system_is_solved_however_many_batches_the_pool_has(study, monkeypatch):
    found, fit = study
    products, gradients = [], []
    multiply, gradient = Curvature.__matmul__, linear_system.target_gradient
    monkeypatch.setattr(Curvature, "__matmul__", lambda self, vector: products.append(1) or multiply(self, vector))
    monkeypatch.setattr(linear_system, "target_gradient", lambda *given: gradients.append(1) or gradient(*given))
    recipe, counts, batches = dataclasses.replace(RECIPE, batch_size=4, damping=0.5), [], []
    sweeps = directional.DirectionalDerivative.__call__
    monkeypatch.setattr(
        directional.DirectionalDerivative, "__call__", lambda self, *given: batches.append(1) or sweeps(self, *given)
    )
    for rows in (4, len(found["pool"])):
        products.clear(), batches.clear()
        scores = recipe.make(Report(), fit, found["pool"].take(np.arange(rows)), found["valid"])
        counts.append((len(products), len(batches)))
    assert counts[0][0] == counts[1][0] > 0 and counts[0][1] < counts[1][1] and len(gradients) == 2
    products.clear()
    score_dataset(scores, fit, found["test"])
    assert not products and len(gradients) == 2


def test_the_hessian_of_an_unfinished_fit_is_refused_at_a_small_damping(study):
    with pytest.raises(NotSolved, match="Hessian's eigenvalues reach from -"):
        scored(dataclasses.replace(RECIPE, curvature="hessian", damping=1e-6), study)
    scores = scored(dataclasses.replace(RECIPE, curvature="hessian", damping=2.0), study)
    assert scores.record["lowest_eigenvalue"] < 0 and scores.record["converged"]


@pytest.mark.parametrize("shape", [{"tasks": 3}, {"binary": True}], ids=["several", "binary"])
def test_gaps_and_binary_tasks(shape, tmp_path):
    found = tables(**shape)
    study = found, fitted(found, tmp_path)
    scores = scored(RECIPE, study)
    finite = scores.table["delta_loss"].notna()
    assert (finite == ~np.isnan(found["pool"].targets).all(1)).all()
    if "tasks" in shape:
        assert {"residual:t0", "slope:t1", "prediction:t2"} <= set(scores.table) and "scaled" in scores.record["unit"]
    else:
        assert scores.table["prediction"].between(0, 1).all() and scores.record["unit"] == "nat (cross-entropy)"
        logits = scores.tangent["target_outputs"][:, 0]
        (heat,) = fit_temperatures(logits[None], found["valid"].targets[:, 0])
        assert scores.record["temperatures"] == pytest.approx([heat], rel=1e-3)
        sure = [said for said in scores.record["warnings"] if "over-confident" in said]
        assert len(sure) == (heat > 1.25)
        assert scores.record["pairs_check"]["off"] < 0.05  # the slopes' ΔL and that of the pairs
    assert len(Greedy(count=5)(found["pool"], scores)) == 5


def test_a_further_table_is_scored_with_the_kept_vector(study):
    found, fit = study
    scores = scored(RECIPE, study)
    again = score_dataset(scores, fit, found["pool"])
    assert np.allclose(again["delta_loss"], scores.table["delta_loss"], rtol=1e-3, atol=1e-4)
    bare = dataclasses.replace(found["test"], targets=np.full((len(found["test"]), 1), np.nan))
    table = score_dataset(scores, fit, bare)
    assert table["delta_loss"].isna().all() and table["slope"].notna().all()
    with pytest.raises(BadInput, match="the table measures"):
        score_dataset(scores, fit, dataclasses.replace(bare, tasks=("other",)))


def test_an_interrupted_run_does_not_solve_again(study, tmp_path):
    def stop_at_the_pool(fraction, message, numbers):
        if fraction > 0.75:
            raise Cancelled(message)

    with pytest.raises(Cancelled):
        scored(RECIPE, study, Report(tell=stop_at_the_pool, scratch=tmp_path))
    phases = []
    scores = scored(
        RECIPE, study, Report(tell=lambda f, m, numbers: phases.append(numbers.get("phase")), scratch=tmp_path)
    )
    assert "solving" not in phases and "scoring the pool" in phases
    assert np.allclose(scores.table["delta_loss"], scored(RECIPE, study).table["delta_loss"], rtol=1e-4, atol=1e-6)


def test_a_cancelled_run_stops_within_a_product(study):
    told = []
    report = Report(
        tell=lambda fraction, message, numbers: told.append(numbers),
        cancelled=lambda: bool(told) and told[-1].get("step") == 2,
    )
    with pytest.raises(Cancelled):
        scored(dataclasses.replace(RECIPE, solver=CG(tolerance=1e-8)), study, report)
    assert told[-1]["phase"] == "solving" and told[-1]["step"] == 2


def changed(study, **change):
    found, fit = study
    made = {"pool": found["pool"], "target": found["valid"]} | change
    return RECIPE.make(Report(), fit, made["pool"], made["target"])


def test_what_cannot_be_scored_is_refused(study):
    found, _ = study
    pool = found["pool"]
    empty = np.full((len(pool), 1), np.nan)
    for change, message in (
        ({"target": dataclasses.replace(pool, targets=empty)}, "the target has no measured label"),
        ({"pool": dataclasses.replace(pool, tasks=("other",))}, r"the pool measures \['other'\], the fit \['t0'\]"),
        ({"target": dataclasses.replace(found["valid"], tasks=("other",))}, "the target measures"),
        ({"pool": found["train"]}, "are in the training part already"),
        ({"pool": found["train"].take(np.arange(12))}, "all 12 molecules of the pool are in the training part"),
    ):
        with pytest.raises(BadInput, match=message):
            changed(study, **change)


def test_what_makes_scores_doubtful_is_said(study):
    found, _ = study
    texts = changed(study, target=found["test"]).record["warnings"]
    assert any("cannot be tested on it" in text for text in texts)
    joined = Dataset(
        np.concatenate([found["pool"].smiles, found["valid"].smiles[:3]]),
        np.concatenate([found["pool"].targets, found["valid"].targets[:2], [[np.nan]]]),
        ("t0",),
        ("g",),
    )
    texts = changed(study, pool=joined).record["warnings"]
    assert any("3 of 34 pool molecules are in the target too, ignoring stereochemistry" in text for text in texts)
    assert any("1 of 34 pool molecules have no label" in text for text in texts)
    assert any("is in g in the pool, in mg in the fit" in text for text in texts)
    with pytest.raises(BadInput, match="1 of 34 scores are not finite"):
        Top(count=3)(joined, changed(study, pool=joined))


def test_a_predictor_of_nans_gives_no_scores(study, tmp_path):
    found, fit = study
    predictor = small_predictor()
    predictor.head[0].weight.data[0, 0] = float("nan")
    predictor.save(tmp_path / "predictor")
    with pytest.raises(NotSolved, match="not finite"):
        scored(RECIPE, (found, dataclasses.replace(fit, folder=tmp_path)))


def test_a_predictor_that_says_one_number_gives_no_scores(study, tmp_path):
    found, fit = study
    predictor = small_predictor()
    for weight in predictor.head.parameters():
        weight.data.zero_()
    predictor.save(tmp_path / "predictor")
    with pytest.raises(NotSolved, match=r"score would be|scores would be|scores are"):
        scored(dataclasses.replace(RECIPE, scope="head"), (found, dataclasses.replace(fit, folder=tmp_path)))


def test_settings_are_checked_where_they_enter():
    for change in ({"damping": 0.0}, {"scope": "body"}, {"curvature_rows": -1}, {"solver": "direct"}):
        with pytest.raises(BadInput, match=f"influence.{next(iter(change))}"):
            Influence(FineTune(TRAIN, VALID, TEST), POOL, VALID, **change)
    assert set(SOLVERS) == {"auto", "cg", "lissa", "dual", "exact", "gradient-similarity"}
