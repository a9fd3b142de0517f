"""Specs with tables or weights that do not go together or are unusual: refused in one line, or made with a note."""

from pathlib import Path
from typing import Any

import pytest

from core.engine.spec import BadInput, Spec
from core.engine.store import Store
from core.experiments import Concat, FineTune, Influence, LabelNoise, Load, Select, Split, split_table
from core.models.backbones import Pretrained, Untrained
from core.selection import Top, Uniform
from tests.cli.test_bad_input import Result, ask, check_refused, list_leftovers


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path) -> Any:
    def run(spec: Spec) -> Result:
        path = tmp_path / "spec.json"
        path.write_text(spec.text)
        return ask(capsys, cache, "run", str(path))

    return run


@pytest.fixture
def split(table: Path) -> tuple[Split, ...]:
    return split_alcohols(table)


def split_alcohols(table: Path) -> tuple[Split, ...]:
    """Sixty alcohols split into train, valid, test and pool."""
    return split_table(Load(f"file:{table}"), seed=0, train=20, valid=10, pool=15, test=None)


def build_fit(train: Spec, valid: Spec, test: Spec, **fields: Any) -> FineTune:
    backbone = fields.pop("backbone", Untrained("molsway-tiny"))
    return FineTune(train, valid, test, backbone=backbone, steps=4, evaluations=2, batch_size=8, **fields)


def stored_kinds(cache: Path) -> list[str]:
    return sorted({entry.kind for entry in Store(cache).entries()})


def write_table(path: Path, text: str) -> Load:
    path.write_text(text)
    return Load(f"file:{path}")


def test_a_single_row_is_loaded_but_not_split(run: Any, cache: Path, tmp_path: Path) -> None:
    single_row = write_table(tmp_path / "one.csv", "smiles,y\nCCO,1\n")
    assert run(single_row).status == 0
    check_refused(run(Split(single_row)), "1 rows are too few", "each wants 1 or more")
    check_refused(
        run(build_fit(single_row, single_row, single_row)),
        "the training part has 1 labels of 'y'",
        "at least 2 are needed",
    )
    assert stored_kinds(cache) == ["load"] and list_leftovers(cache) == []


def test_constant_labels_are_refused(run: Any, tmp_path: Path) -> None:
    flat = write_table(tmp_path / "flat.csv", "smiles,y\nCCO,1\nCCC,1\nCCN,1\n")
    check_refused(run(build_fit(flat, flat, flat)), "every training label of 'y' is 1", "larger table")
    check_refused(run(LabelNoise(flat, fraction=1.0)), "every label has the same value", "use another table")


def test_a_smiles_of_300_characters_is_trained_on_with_a_note(run: Any, tmp_path: Path, alcohols: list) -> None:
    rows = "".join(f"{smiles},{label}\n" for smiles, label in [*alcohols, ("C" * 299 + "O", 297)])
    table = write_table(tmp_path / "long.csv", "smiles,size\n" + rows)
    result = run(table)
    assert result.status == 0 and result.answer["summary"]["longest"] == 300
    (note,) = result.answer["summary"]["provenance"]["notes"]
    assert "1 SMILES have more than 200 characters (rows 61)" in note
    result = run(build_fit(table, table, table))
    assert result.status == 0 and result.answer["summary"]["rows"]["train"] == 61
    assert any(
        "302 tokens, more than the 202 of pre-training; it is not truncated" in w
        for w in result.answer["summary"]["warnings"]
    )


def test_a_pool_equal_to_the_training_set_is_refused(run: Any, cache: Path, split: tuple) -> None:
    train, valid, test, _ = split
    check_refused(
        run(Influence(fit=build_fit(train, valid, test), pool=train, target=valid)),
        "all 20 molecules of the pool",
        "give another pool",
    )
    assert set(stored_kinds(cache)) == {"load", "split"} and list_leftovers(cache) == [], "refused before any training"


def test_a_pool_without_labels_or_with_other_tasks(run: Any, split: tuple, tmp_path: Path) -> None:
    train, valid, test, pool = split
    fit = build_fit(train, valid, test)
    bare = write_table(tmp_path / "bare.csv", "smiles,name\nCCCl,a\nCCBr,b\n")
    unlabelled = run(Influence(fit=fit, pool=bare, target=valid))
    assert unlabelled.status == 0, "scores the value of measuring these molecules"
    check_refused(run(Select(pool=bare, scores=Influence(fit=fit, pool=bare, target=valid), sampler=Top(count=1))),
                  "2 of 2 scores are not finite", "informative")  # fmt: skip
    other = write_table(tmp_path / "other.csv", "smiles,logS\nCCCl,1\nCCBr,2\n")
    check_refused(run(Influence(fit=fit, pool=other, target=valid)), "the pool measures ['logS'], the model ['size']")
    empty = Load(write_table(tmp_path / "empty.csv", "smiles,size\nCCCl,\nCCBr,\n").source, targets=("size",))
    check_refused(run(Influence(fit=fit, pool=empty, target=valid)), "none of 2 rows is left")
    check_refused(run(build_fit(train, other, test)), "the validation part has the tasks", "choose the same targets")
    check_refused(run(Concat((train, other))), "the same tasks", "'size'", "'logS'")
    with pytest.raises(BadInput, match=r"top needs influence scores and got none.*uniform"):
        Select(pool=pool, sampler=Top(count=3))


def test_different_units_give_a_warning_and_are_never_concatenated(run: Any, split: tuple, tmp_path: Path) -> None:
    train, valid, test, _ = split
    path = tmp_path / "pool.csv"
    path.write_text("smiles,size\nCCCl,1\nCCBr,2\nCCF,3\n")
    table = Load(train.table.source, unit="mm")
    train, valid, test = (Split(table, part=part.part, **part.sizes) for part in (train, valid, test))
    pool = Load(f"file:{path}", unit="m")
    result = run(Influence(fit=build_fit(train, valid, test), pool=pool, target=valid))
    assert result.status == 0
    assert any(
        "'size' is in m in the pool, in mm in the model; nothing was converted" in w
        for w in result.answer["summary"]["warnings"]
    )
    check_refused(run(Concat((train, pool))), "the same units", "'mm'", "'m'")


def test_selecting_more_molecules_than_the_pool_has_is_refused(run: Any, cache: Path, split: tuple) -> None:
    check_refused(
        run(Select(pool=split[3], sampler=Uniform(count=16))),
        "uniform wants 16 molecules of a pool of 15",
        "lower `count`",
    )
    assert stored_kinds(cache) == ["load", "split"] and list_leftovers(cache) == []


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    folder = tmp_path / "backbone"
    Untrained("molsway-tiny")().save(folder)
    return folder


def test_a_truncated_backbone_is_refused(run: Any, cache: Path, split: tuple, backbone: Path) -> None:
    fit = build_fit(*split[:3], backbone=Pretrained(str(backbone)))
    weights = backbone / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    check_refused(run(fit), "model.safetensors", "the copy is incomplete", "copy it again")
    weights.write_bytes(content[:4])
    check_refused(run(fit), "cannot be read as safetensors", "copy it again")
    weights.unlink()
    check_refused(run(fit), "has no model.safetensors")
    assert stored_kinds(cache) == ["load", "split"] and list_leftovers(cache) == []
    weights.write_bytes(content)
    assert run(fit).status == 0


def test_a_backbone_with_other_weights_gives_another_key(run: Any, split: tuple, backbone: Path) -> None:
    fit = build_fit(*split[:3], backbone=Pretrained(str(backbone)))
    first = run(fit).answer
    Untrained("molsway-tiny", seed=7)().save(backbone)
    second = run(fit).answer
    assert first["key"] != second["key"]
    assert first["summary"]["metrics"]["test"] != second["summary"]["metrics"]["test"]
    named = build_fit(*split[:3], backbone=Pretrained(str(backbone), digest="0" * 64))
    check_refused(run(named), "have changed since this spec was written", "leave `digest` empty")


def test_a_missing_backbone_is_refused(run: Any, split: tuple, tmp_path: Path) -> None:
    check_refused(run(build_fit(*split[:3], backbone=Pretrained("nowhere"))), "there is no backbone 'nowhere'")
    (tmp_path / "empty").mkdir()
    check_refused(
        run(build_fit(*split[:3], backbone=Pretrained(str(tmp_path / "empty")))), "config.json cannot be read"
    )
