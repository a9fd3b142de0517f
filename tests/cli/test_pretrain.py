"""The commands `pretrain` and `pretraining-overlap`."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.cli.parser import main
from core.engine import spec as specs
from core.experiments import BuildCorpus, Load, Pretrain
from core.models.backbones import Pretrained, Untrained, pretrained
from core.models.backbones.molformer.untrained import UntrainedMolformer

SHAPE = ("--width", "16", "--depth", "1", "--heads", "2", "--feed-forward", "32", "--features", "4")
SHORT = (*SHAPE, "--steps", "3", "--batch-size", "8", "--held-out", "8", "--randomised-smiles", "2")


@pytest.fixture
def call(cache: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, Any, str]:
        status = main([*map(str, arguments), "--cache", str(cache), "--json"])
        out, err = capsys.readouterr()
        return status, json.loads(out) if out else None, err

    return call


@pytest.fixture
def smi(tmp_path: Path) -> Path:
    path = tmp_path / "chains.smi"
    path.write_text("\n".join("C" * n + end for n in range(1, 9) for end in ("O", "N", "C[C@H](F)Cl", "Br", "S", "=O")))
    return path


def test_a_checkpoint_is_made_and_its_overlap_counted(
    call: Any, smi: Path, table: Path, tmp_path: Path, monkeypatch
) -> None:
    out = tmp_path / "checkpoint"
    arguments = ("pretrain", smi, "--labelled", table, "--leave-out", "bundled:hydration", *SHORT, "--name", "nano")
    status, run, _ = call(*arguments, "--seed", "3", "--out", out)
    assert status == 0 and run["kind"] == "pretrain" and run["checkpoint"] == str(out)
    card = run["summary"]
    assert card["backbone"] == "nano" and card["steps"] == 3 and card["corpus"]["labels"] == 1
    assert json.loads((out / "card.json").read_text()) == card
    assert Pretrained(str(out))().width == 16
    assert {run["kind"] for run in call("list")[1]} == {"pretrain", "build-corpus", "load"}
    description = call("show", run["key"][:8])[1]
    assert description["summary"] == card and len(json.dumps(description)) < 5000
    corpus_run = next(run for run in call("list")[1] if run["kind"] == "build-corpus")
    about = call("show", corpus_run["key"])[1]["summary"]
    assert about["molecules"] == card["corpus"]["molecules"] and not {"scaling", "tasks", "kinds"} & set(about)

    repeated = call("pretrain", smi, *arguments[2:], "--seed", "3")
    assert repeated[1]["key"] == run["key"] and repeated[1]["checkpoint"].endswith("backbone"), "saved, not made again"

    queries = tmp_path / "asked.csv"
    queries.write_text("smiles,y\nCC[C@@H](F)Cl,\nCCCCCCCCS,\nc1ccccc1CCN,2\nrubbish,3\nC1CCCCC1C(=O)CC,4\n")
    monkeypatch.setattr(pretrained, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(pretrained, "SHIPPED", {})
    for checkpoint in (str(out), run["key"], "checkpoint"):
        status, overlap, _ = call("pretraining-overlap", checkpoint, queries)
        assert status == 0 and (overlap["molecules"], overlap["unreadable"], overlap["labels"]) == (4, 1, 1)
        assert overlap["corpus"] == card["corpus"]["molecules"]
        assert overlap["overlap"] == 2 and overlap["first"] == ["CC[C@@H](F)Cl", "CCCCCCCCS"], (
            "stereo marks are ignored"
        )
    status, overlap, _ = call("pretraining-overlap", str(out), "bundled:hydration")
    assert status == 0 and overlap["overlap"] == 0 and overlap["molecules"] == 642

    status, continued, _ = call(
        "pretrain", smi, "--backbone", run["key"], *SHORT[10:], "--descriptor-weight", "0", "--label-weight", "0"
    )
    assert (
        status == 0
        and continued["summary"]["backbone"] == "nano"
        and continued["summary"]["before"][0]["recipe"] == run["key"]
    )
    assert continued["summary"]["objective"]["described"] == 0 and set(continued["summary"]["held_out"]) == {
        "valid_loss",
        "token_loss",
    }


def test_the_spec_is_printed_and_nothing_made(call: Any, cache: Path) -> None:
    status, tree, _ = call(
        *("pretrain", "a.smi", "b.csv.gz", "--labelled", "t.csv", "hub:bace", "--leave-out", "file:out.sdf"),
        *(
            "--no-stereo",
            "--randomised-smiles",
            "5",
            "--limit",
            "7",
            "--seed",
            "4",
            "--token-weight",
            "0",
            "--label-weight",
            "2.5",
        ),
        *(
            "--mask-fraction",
            "0.3",
            "--precision",
            "float32",
            "--learning-rate",
            "0.01",
            "--name",
            "mine",
            "--print-spec",
        ),
    )
    assert status == 0 and not list(cache.glob("*/*")), "nothing is made, and the files need not exist"
    assert specs.read_spec(tree) == Pretrain(
        BuildCorpus(
            files=("a.smi", "b.csv.gz"),
            labelled=(Load("file:t.csv"), Load("hub:bace")),
            leave_out=(Load("file:out.sdf"),),
            stereo=False,
            n_randomised_smiles=5,
            limit=7,
            seed=4,
        ),
        UntrainedMolformer(name="mine", seed=4),
        masked=0.0,
        measured=2.5,
        share=0.3,
        learning_rate=0.01,
        precision="float32",
        seed=4,
    )
    plain = call("pretrain", "a.smi", "--print-spec")[1]
    assert specs.read_spec(plain) == Pretrain(BuildCorpus(files=("a.smi",))), "defaults are those of the spec"
    continued_spec = call("pretrain", "a.smi", "--backbone", "molsway-mini", "--print-spec")[1]
    assert specs.read_spec(continued_spec).backbone == Pretrained("molsway-mini")


def test_a_printed_spec_can_be_run(smi: Path, call: Any, tmp_path: Path, cache: Path, capsys: Any) -> None:
    assert main(["pretrain", str(smi), *SHORT, "--cache", str(cache), "--print-spec"]) == 0
    path = tmp_path / "spec.json"
    path.write_text(capsys.readouterr().out)
    run = call("run", path)[1]
    assert run["kind"] == "pretrain" and call("pretrain", smi, *SHORT)[1]["key"] == run["key"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pretrain",), "at least one file in `files` or one table in `labelled`"),
        (("pretrain", "nowhere.smi"), "nowhere.smi cannot be read (No such file or directory)"),
        (("pretrain", "a.sdf"), "a corpus file ends in .smi"),
        (("pretrain", "a.smi", "--backbone", "molsway-mini", "--width", "8"), "leave out --width"),
        (("pretrain", "a.smi", "--backbone", "0123456789abcdef"), "0123456789abcdef"),
        (("pretrain", "a.smi", "--token-weight", "0", "--descriptor-weight", "0", "--label-weight", "0"), "are all 0"),
        (("pretrain", "a.smi", "--labelled", "bundled:solubilty"), "did you mean bundled:solubility"),
        (("pretrain", "a.smi", "--steps", "0"), "pretrain.steps"),
        (("pretrain", "a.smi", "--heads", "3"), "a width of 320 does not divide into 3 heads"),
        (("pretraining-overlap", "molsway-huge", "bundled:drugs"), "there is no checkpoint 'molsway-huge'"),
        (("pretraining-overlap", "{plain}", "bundled:drugs"), "does not record which molecules it has read"),
        (("pretraining-overlap", "{plain}/none", "bundled:drugs"), "there is no checkpoint"),
    ],
)
def test_bad_input_is_one_clear_line(call: Any, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    Untrained("molsway-tiny")().save(tmp_path / "plain")
    status, answer, err = call(*(text.replace("{plain}", str(tmp_path / "plain")) for text in arguments))
    assert status == 2 and answer is None and words in err and len(err.strip().splitlines()) == 1


def test_a_folder_with_files_is_refused_before_the_work(call: Any, smi: Path, tmp_path: Path) -> None:
    status, _, err = call("pretrain", smi, *SHORT, "--out", tmp_path)
    assert status == 2 and "is there already and not empty; name a new folder for --out" in err
    assert call("list")[1] == []


def test_a_corpus_smaller_than_the_held_out_set_is_refused(call: Any, smi: Path) -> None:
    status, _, err = call("pretrain", smi, *SHAPE, "--steps", "3")
    assert status == 2 and "the corpus has 48 molecules, fewer than the 4,096 held out" in err
    assert [run["kind"] for run in call("list")[1]] == ["build-corpus"], "the corpus stays saved"
