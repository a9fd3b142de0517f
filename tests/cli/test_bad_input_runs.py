"""Recipes whose tables or weights do not go together, or are odd: refused in one line, or noted and done."""

from pathlib import Path
from typing import Any

import pytest

from core.engine.spec import Spec
from core.engine.store import Store
from core.experiments import Concat, FineTune, Influence, LabelNoise, Load, Select, Split, split_table
from core.models.backbones import Pretrained, Untrained
from core.selection import Top, Uniform
from tests.cli.test_bad_input import Said, ask, check_refused, left


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path) -> Any:
    def run(spec: Spec) -> Said:
        path = tmp_path / "recipe.json"
        path.write_text(spec.text)
        return ask(capsys, cache, "run", str(path))

    return run


@pytest.fixture
def split(table: Path) -> tuple[Split, ...]:
    return whole(table)


def whole(table: Path) -> tuple[Split, ...]:
    """Parts of sixty alcohols: train, valid, test, pool."""
    return split_table(Load(f"file:{table}"), seed=0, train=20, valid=10, pool=15, test=None)


def tuned(train: Spec, valid: Spec, test: Spec, **fields: Any) -> FineTune:
    backbone = fields.pop("backbone", Untrained("molsway-tiny"))
    return FineTune(train, valid, test, backbone=backbone, steps=4, evaluations=2, batch_size=8, **fields)


def kinds(cache: Path) -> list[str]:
    return sorted({entry.kind for entry in Store(cache).entries()})


def written(path: Path, text: str) -> Load:
    path.write_text(text)
    return Load(f"file:{path}")


def test_one_row_is_too_few_to_split_and_enough_to_load(run: Any, cache: Path, tmp_path: Path) -> None:
    one = written(tmp_path / "one.csv", "smiles,y\nCCO,1\n")
    assert run(one).status == 0
    check_refused(run(Split(one)), "1 rows are too few", "each wants 1 or more")
    check_refused(run(tuned(one, one, one)), "the training part has 1 labels of 'y'", "at least 2 are needed")
    assert kinds(cache) == ["load"] and left(cache) == []


def test_labels_that_are_all_the_same_teach_nothing(run: Any, tmp_path: Path) -> None:
    flat = written(tmp_path / "flat.csv", "smiles,y\nCCO,1\nCCC,1\nCCN,1\n")
    check_refused(run(tuned(flat, flat, flat)), "every training label of 'y' is 1", "nothing to learn")
    check_refused(run(LabelNoise(flat, fraction=1.0)), "every label has the same value", "use another table")


def test_a_molecule_of_300_characters_is_kept_noted_and_trained_on(run: Any, tmp_path: Path, alcohols: list) -> None:
    rows = "".join(f"{smiles},{label}\n" for smiles, label in [*alcohols, ("C" * 299 + "O", 297)])
    whole = written(tmp_path / "long.csv", "smiles,size\n" + rows)
    said = run(whole)
    assert said.status == 0 and said.answer["summary"]["longest"] == 300
    (note,) = said.answer["summary"]["provenance"]["notes"]
    assert "1 SMILES have more than 200 characters (rows 61)" in note
    said = run(tuned(whole, whole, whole))
    assert said.status == 0 and said.answer["summary"]["rows"]["train"] == 61
    assert any(
        "302 tokens, more than the 202 of pre-training; it is not truncated" in w
        for w in said.answer["summary"]["warnings"]
    )


def test_a_pool_that_is_the_training_set(run: Any, cache: Path, split: tuple) -> None:
    train, valid, test, _ = split
    check_refused(
        run(Influence(fit=tuned(train, valid, test), pool=train, target=valid)),
        "all 20 molecules of the pool",
        "give another pool",
    )
    assert set(kinds(cache)) == {"load", "part"} and left(cache) == [], "seen before anything was trained"


def test_a_pool_without_labels_or_with_other_tasks(run: Any, split: tuple, tmp_path: Path) -> None:
    train, valid, test, pool = split
    fit = tuned(train, valid, test)
    bare = written(tmp_path / "bare.csv", "smiles,name\nCCCl,a\nCCBr,b\n")
    unlabelled = run(Influence(fit=fit, pool=bare, target=valid))
    assert unlabelled.status == 0, "what measuring these molecules would tell"
    check_refused(run(Select(pool=bare, scores=Influence(fit=fit, pool=bare, target=valid), sampler=Top(count=1))),
                  "2 of 2 scores are not finite", "informative")  # fmt: skip
    other = written(tmp_path / "other.csv", "smiles,logS\nCCCl,1\nCCBr,2\n")
    check_refused(run(Influence(fit=fit, pool=other, target=valid)), "the pool measures ['logS'], the model ['size']")
    empty = Load(written(tmp_path / "empty.csv", "smiles,size\nCCCl,\nCCBr,\n").source, targets=("size",))
    check_refused(run(Influence(fit=fit, pool=empty, target=valid)), "none of 2 rows is left")
    check_refused(run(tuned(train, other, test)), "the validation part has the tasks", "choose the same targets")
    check_refused(run(Concat((train, other))), "the same tasks", "'size'", "'logS'")
    check_refused(run(Select(pool=pool, sampler=Top(count=3))), "top needs influence scores and got none", "uniform")


def test_units_that_differ_are_said_and_never_joined(run: Any, split: tuple, tmp_path: Path) -> None:
    train, valid, test, _ = split
    path = tmp_path / "pool.csv"
    path.write_text("smiles,size\nCCCl,1\nCCBr,2\nCCF,3\n")
    table = Load(train.table.source, unit="mm")
    train, valid, test = (Split(table, part=part.part, **part.sizes) for part in (train, valid, test))
    pool = Load(f"file:{path}", unit="m")
    said = run(Influence(fit=tuned(train, valid, test), pool=pool, target=valid))
    assert said.status == 0
    assert any(
        "'size' is in m in the pool, in mm in the model; nothing was converted" in w
        for w in said.answer["summary"]["warnings"]
    )
    check_refused(run(Concat((train, pool))), "the same units", "'mm'", "'m'")


def test_more_molecules_than_the_pool_has(run: Any, cache: Path, split: tuple) -> None:
    check_refused(
        run(Select(pool=split[3], sampler=Uniform(count=16))),
        "uniform wants 16 molecules of a pool of 15",
        "lower `count`",
    )
    assert kinds(cache) == ["load", "part"] and left(cache) == []


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    folder = tmp_path / "backbone"
    Untrained("molsway-tiny")().save(folder)
    return folder


def test_a_backbone_cut_short(run: Any, cache: Path, split: tuple, backbone: Path) -> None:
    fit = tuned(*split[:3], backbone=Pretrained(str(backbone)))
    weights = backbone / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    check_refused(run(fit), "model.safetensors", "the copy is incomplete", "copy it again")
    weights.write_bytes(whole[:4])
    check_refused(run(fit), "cannot be read as safetensors", "copy it again")
    weights.unlink()
    check_refused(run(fit), "has no model.safetensors")
    assert kinds(cache) == ["load", "part"] and left(cache) == []
    weights.write_bytes(whole)
    assert run(fit).status == 0


def test_a_backbone_whose_weights_changed_is_another_recipe(run: Any, split: tuple, backbone: Path) -> None:
    fit = tuned(*split[:3], backbone=Pretrained(str(backbone)))
    first = run(fit).answer
    Untrained("molsway-tiny", seed=7)().save(backbone)
    second = run(fit).answer
    assert first["key"] != second["key"]
    assert first["summary"]["metrics"]["test"] != second["summary"]["metrics"]["test"]
    named = tuned(*split[:3], backbone=Pretrained(str(backbone), digest="0" * 64))
    check_refused(run(named), "have changed since this spec was written", "leave `digest` empty")


def test_a_backbone_that_is_nowhere(run: Any, split: tuple, tmp_path: Path) -> None:
    check_refused(run(tuned(*split[:3], backbone=Pretrained("nowhere"))), "there is no backbone 'nowhere'")
    (tmp_path / "empty").mkdir()
    check_refused(run(tuned(*split[:3], backbone=Pretrained(str(tmp_path / "empty")))), "config.json cannot be read")
