"""Baselines with unsuitable settings or tables: refused in one line, or made with a note."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.engine import spec as specs
from core.engine.spec import Spec
from core.engine.store import Store
from core.experiments import Baseline, Load, SelectionStudy
from core.models.baselines import GradientBoosting, SupportVectors
from tests.cli.test_bad_input import Result, ask, check_refused, list_leftovers
from tests.cli.test_bad_input_runs import build_fit, split_alcohols


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path) -> Any:
    def run(spec: Spec | dict) -> Result:
        path = tmp_path / "spec.json"
        path.write_text(json.dumps(specs.to_json(spec)) if isinstance(spec, Spec) else json.dumps(spec))
        return ask(capsys, cache, "run", str(path))

    return run


def write_table(path: Path, text: str) -> Load:
    path.write_text(text)
    return Load(f"file:{path}")


def test_unsuitable_settings_of_a_baseline_are_refused(run: Any, table: Path) -> None:
    train, valid, test, pool = split_alcohols(table)
    tree = specs.to_json(Baseline(train, valid, test))
    check_refused(run(tree | {"baseline": "perceptron"}), "no baseline of kind 'perceptron'", "gradient-boosting")
    check_refused(run(tree | {"baseline": {"kind": "random-forest", "trees": 0}}), "random-forest.trees", "got 0")
    check_refused(
        run(tree | {"baseline": {"kind": "support-vectors", "features": "graphs"}}), "'fingerprints'", "'graphs'"
    )
    check_refused(run(tree | {"epochs": 3}), "baseline.epochs", "is not a field of this spec")
    scored = {"kind": "influence", "fit": tree, "pool": specs.to_json(pool), "target": specs.to_json(valid)}
    check_refused(run(scored), "influence.fit: a baseline has no gradient", "give a fine-tuning")
    study = {"kind": "selection-study", "fit": tree, "pool": specs.to_json(pool)}
    check_refused(run(study), "a baseline has no gradient", "give a fine-tuning")


def test_unsuitable_baselines_of_a_study_are_refused(run: Any, table: Path) -> None:
    train, valid, test, pool = split_alcohols(table)
    tree = specs.to_json(SelectionStudy(fit=build_fit(train, valid, test), pool=pool))
    twice = [{"kind": "gradient-boosting", "trees": trees} for trees in (100, 200)]
    check_refused(run(tree | {"baselines": twice}), "`baselines` wants models that differ in kind or features")
    check_refused(run(tree | {"baselines": ["lora"]}), "there is no baseline of kind 'lora'")
    check_refused(run(tree | {"baselines": "support-vectors"}), "selection-study.baselines", "should be a list")
    check_refused(run(tree | {"control": "yes please"}), "selection-study.control", "valid boolean")
    check_refused(run(tree | {"control": True}), "starts from untrained weights", "leave `control` out")


def test_constant_or_rare_labels_are_refused(run: Any, cache: Path, tmp_path: Path) -> None:
    flat = write_table(tmp_path / "flat.csv", "smiles,y\nCCO,1\nCCC,1\nCCN,1\nCCCC,1\n")
    result = run(Baseline(flat, flat, flat))
    check_refused(result, "every training label of 'y' is 1")
    rare = write_table(tmp_path / "few.csv", "smiles,y\nCCO,1\nCCC,0\nCCN,0\nCCCC,0\n")
    check_refused(run(Baseline(rare, rare, rare)), "2 molecules of each class", "3 with 0 and 1 with 1", "larger table")
    same = write_table(tmp_path / "same.csv", "smiles,y\nC[C@H](N)O,1.5\nC[C@@H](N)O,2.5\n")
    check_refused(run(Baseline(same, same, same)), "no descriptor varies over these molecules")
    bits = Baseline(same, same, same, baseline=SupportVectors(features="fingerprints"))
    assert run(bits).status == 0
    assert not [path for path in list_leftovers(cache) if "draft" in path]


def test_too_few_molecules_for_a_tree_give_a_warning(run: Any, table: Path) -> None:
    train, valid, test, _ = split_alcohols(table)
    result = run(Baseline(train, valid, test, baseline=GradientBoosting(trees=5)))
    assert result.status == 0
    assert any("the model predicts the mean of 'size'" in warning for warning in result.answer["summary"]["warnings"])


def test_a_baseline_predicts_but_cannot_score(
    run: Any, capsys: pytest.CaptureFixture[str], cache: Path, table: Path, tmp_path: Path
) -> None:
    train, valid, test, _ = split_alcohols(table)
    key, out = run(Baseline(train, valid, test)).answer["key"], str(tmp_path / "out.csv")
    check_refused(
        ask(capsys, cache, "score", key, str(table), "--out", out), "'baseline'", "no gradient", "'influence'"
    )
    loaded = next(entry.key for entry in Store(cache).entries() if entry.kind == "load")
    check_refused(ask(capsys, cache, "predict", loaded, str(table), "--out", out), "'load'", "'finetune' or 'baseline'")
    (tmp_path / "bare.csv").write_text("a,b\n1,2\n")
    check_refused(ask(capsys, cache, "predict", key, str(tmp_path / "bare.csv"), "--out", out), "no column of SMILES")
    assert not (tmp_path / "out.csv").exists()
    (tmp_path / "more.csv").write_text("smiles\nCCO\nnothing\n[U]CC\n")
    result = ask(capsys, cache, "predict", key, str(tmp_path / "more.csv"), "--out", out)
    assert result.status == 0 and result.answer["unusable"] == 1
    assert list(pd.read_csv(out)["size_predicted"].notna()) == [True, False, True]
    assert "element U, not in the training set" in pd.read_csv(out)["caution"][2]


def test_a_baseline_with_damaged_files_is_refused(
    run: Any, capsys: pytest.CaptureFixture[str], cache: Path, table: Path, tmp_path: Path
) -> None:
    train, valid, test, _ = split_alcohols(table)
    answer = run(Baseline(train, valid, test)).answer
    (Path(answer["folder"]) / "predictor" / "training.safetensors").write_bytes(b"short")
    result = ask(capsys, cache, "predict", answer["key"], str(table), "--out", str(tmp_path / "out.csv"))
    check_refused(result, "is damaged", "training.safetensors", "make it again")


def test_the_schema_describes_baselines(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    kinds = ask(capsys, cache, "kinds").answer
    assert kinds["baseline"]["yields"] == "Fit" and kinds["baseline:random-forest"]["fields"]["trees"]["least"] == 1
    about = kinds["selection-study"]["fields"]["baselines"]
    assert about["type"] == "members of the family 'baseline'" and about["default"][0]["kind"] == "support-vectors"
    assert kinds["baseline"]["fields"]["baseline"]["type"] == "a member of the family 'baseline'"
    assert specs.read_spec(ask(capsys, cache, "preset", "demo").answer).baselines == (SupportVectors(),)
