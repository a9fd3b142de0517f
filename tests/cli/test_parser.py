"""The command line: exit status, one JSON document, one line for an error."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.cli.parser import main
from core.engine import spec as specs
from core.engine.spec import Spec
from core.experiments import FineTune, Influence, Load, split_table
from core.models.backbones import Untrained


@pytest.fixture
def study(table: Path) -> Influence:
    """A fit of the smallest model and its influence scores."""
    train, valid, test, pool = split_table(Load(f"file:{table}"), seed=0, train=20, valid=10, pool=15, test=None)
    fit = FineTune(train, valid, test, backbone=Untrained("molsway-tiny"), steps=6, evaluations=2, batch_size=8)
    return Influence(fit=fit, pool=pool, target=valid)


@pytest.fixture
def call(cache: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, Any, str]:
        status = main([*arguments, "--cache", str(cache), "--json"])
        out, err = capsys.readouterr()
        return status, json.loads(out) if out else None, err

    return call


def test_a_spec_is_run_shown_applied_exported_and_deleted(
    call: Any, study: Influence, tmp_path: Path, table: Path
) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(study.text)
    status, run, _ = call("run", str(spec))
    assert status == 0 and run["kind"] == "influence" and Path(run["folder"]).is_dir()
    assert call("run", str(spec))[1]["key"] == run["key"]

    _, runs, _ = call("list")
    assert {run["kind"] for run in runs} == {"load", "split", "finetune", "influence"}
    fit = next(run["key"] for run in runs if run["kind"] == "finetune")
    _, description, _ = call("show", fit[:9])
    assert description["summary"]["metrics"]["test"]["size"]["rmse"] > 0

    for command, key, column in (("predict", fit, "size_predicted"), ("score", run["key"], "delta_loss")):
        out = tmp_path / f"{command}.csv"
        status, answer, _ = call(command, key, str(table), "--out", str(out))
        assert status == 0 and answer["rows"] == 60
        assert pd.read_csv(out)[column].notna().all()

    assert call("export", fit, str(tmp_path / "exported"))[0] == 0 and (tmp_path / "exported" / "spec.json").exists()
    merged = tmp_path / "merged"
    assert call("export", fit, str(merged), "--as", "merged")[0] == 0 and (merged / "model.safetensors").exists()
    status, _, err = call("export", fit, str(tmp_path / "adapter"), "--as", "adapter")
    assert status == 2 and "export it as merged" in err and not (tmp_path / "adapter").exists()
    assert "which has no network" in call("export", run["key"], str(tmp_path / "no"), "--as", "merged")[2]
    assert call("delete", fit)[0] == 0
    assert fit not in {run["key"] for run in call("list")[1]}


def test_scores_are_checked_and_label_errors_ranked(call: Any, study: Influence, tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(study.text)
    key = call("run", str(spec))[1]["key"]
    status, run, _ = call("lds", key[:8], "--subsets", "4")
    assert status == 0 and run["kind"] == "lds" and run["summary"]["scores"] == [key]
    assert run["summary"]["subsets"] == 4 and "over 4 retrainings" in run["summary"]["verdict"]
    fit = next(run["key"] for run in call("list")[1] if run["kind"] == "finetune")
    status, run, _ = call("label-errors", fit, "--show", "3")
    assert status == 0 and run["kind"] == "label-errors" and len(run["most_suspicious"]) == 3
    suspicion = [label["suspicion"] for label in run["most_suspicious"]]
    assert suspicion == sorted(suspicion, reverse=True)
    assert {"row", "smiles", "label", "leverage", "opinion"} <= set(run["most_suspicious"][0])
    for command, wrong in (("lds", fit), ("label-errors", key)):
        status, _, err = call(command, wrong)
        assert status == 2 and "give the key of one of kind" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "nowhere.json"), "no spec can be read from nowhere.json"),
        (("show", "ffff"), "ffff"),
        (("show", "../../etc"), "key"),
        (("kinds", "nothing"), "there is no kind 'nothing'; there are"),
        (("preset", "dmeo"), "there is no preset 'dmeo'; there are demo"),
        (("methods", "--backbone", "bert"), "bert"),
    ],
)
def test_bad_input_is_one_clear_line(call: Any, arguments: tuple[str, ...], words: str) -> None:
    status, answer, err = call(*arguments)
    assert status == 2 and answer is None
    assert words in err and len(err.strip().splitlines()) == 1


def test_an_invalid_field_of_a_spec_is_named(call: Any, study: Influence, tmp_path: Path) -> None:
    tree = specs.to_json(study)
    tree["fit"]["epochs"] = "many"
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(tree))
    status, _, err = call("run", str(path))
    assert status == 2 and "finetune.epochs: input should be a valid integer" in err and "'many'" in err


def test_a_failed_run_is_not_saved(call: Any, study: Influence, tmp_path: Path, table: Path) -> None:
    table.write_text("smiles,size\nCCO,1\n")
    path = tmp_path / "spec.json"
    path.write_text(study.text)
    status, _, err = call("run", str(path))
    assert status == 2 and "1" in err
    assert all(run["kind"] == "load" for run in call("list")[1])


def test_every_kind_has_a_schema_with_help(call: Any) -> None:
    _, kinds, _ = call("kinds")
    assert {"load", "split", "finetune", "influence", "select", "selection-study", "method:full", "solver:cg"} <= set(
        kinds
    )
    ours = {
        kind: about for kind, about in kinds.items() if ":" in kind or Spec.kinds[kind].__module__.startswith("core.")
    }
    for kind, about in ours.items():  # other tests define further kinds
        assert about["help"], kind
        assert all(field["help"] for field in about["fields"].values()), kind


def test_parameters_of_the_methods_at_full_size(call: Any) -> None:
    _, answer, _ = call("methods", "--backbone", "molformer-xl")
    trainable = {kind: cost["trainable"] for kind, cost in answer["methods"].items()}
    expected = {"full": 44_670_721, "head": 295_681, "bitfit": 370_177, "lora": 885_505, "ia3": 323_329}
    assert trainable | expected == trainable
    assert answer["methods"]["lora"]["trainable_share"] == pytest.approx(885_505 / 45_260_545)


def test_a_preset_can_be_printed_changed_and_read_again(call: Any) -> None:
    _, tree, _ = call("preset", "demo", "--seed", "4")
    assert specs.read_spec(tree).seeds == (400, 401, 402)


def test_a_preset_takes_a_table(call: Any, table: Path) -> None:
    _, tree, _ = call("preset", "methods", "--table", str(table), "--target", "size", "--unit", "heavy atoms")
    study = specs.read_spec(tree)
    assert study.arm_names == ("full", "LoRA", "(IA)³", "BitFit", "head") and study.seeds == (0, 1, 2)
    load = study.arms[0].train.table
    assert (load.source, load.targets, load.unit) == (f"file:{table}", ("size",), "heavy atoms")
    assert {arm.kind for arm in study.arms} == {"learning-rate-search"}
    for arguments, words in (
        (("demo", "--table", str(table)), "the demo has its own table"),
        (("methods", "--unit", "logD"), "describe a --table"),
    ):
        status, _, err = call("preset", *arguments)
        assert status == 2 and words in err


def test_presets_take_a_pool_with_another_label_column(call: Any, table: Path) -> None:
    options = ("--table", str(table), "--target", "size", "--unit", "atoms")
    pool_options = (*options, "--pool", "other.csv", "--pool-target", "Label")
    verified, study = (
        specs.read_spec(call("preset", name, *pool_options, "--seed", "2")[1]) for name in ("influence", "selection")
    )
    (scores,) = verified.scores
    assert (scores.pool.source, scores.pool.targets, scores.pool.tasks) == ("file:other.csv", ("Label",), ("size",))
    assert scores.pool.unit == scores.fit.train.table.unit == "atoms" and scores.target == scores.fit.valid
    assert study.scores().key == scores.key and scores.fit.seed == 200
    aside = specs.read_spec(call("preset", "influence", *options)[1]).scores[0].pool
    assert (aside.part, aside.pool) == ("pool", 0.2)
    demo, own = (specs.read_spec(call("preset", name)[1]) for name in ("demo", "influence"))
    assert own.scores[0].key == demo.scores().key
    for arguments, words in (
        (
            ("methods", *pool_options),
            "the preset 'methods' accepts no pool; leave --pool out, or choose influence, sel",
        ),
        (("influence", "--pool", "other.csv"), "a pool needs the table that it would be added to"),
        (("influence", "--table", "a.csv", "--pool", "b.csv"), "a --pool needs --target"),
        (("influence", "--pool-target", "y"), "--pool-target and --pool-read describe a --pool"),
        (("influence", *pool_options, "--pool-target", "y"), "the table has 1 targets, the pool 2"),
    ):
        status, _, err = call("preset", *arguments)
        assert status == 2 and words in err


def test_the_adaptation_preset_has_each_method_twice(call: Any) -> None:
    study = specs.read_spec(call("preset", "adaptation")[1])
    assert study.arm_names == (
        "full, from molsway-mini", "LoRA, from molsway-mini",
        "full, from adapted molsway-mini", "LoRA, from adapted molsway-mini",
    )  # fmt: skip
