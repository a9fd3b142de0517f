"""The command `audit`."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.cli.parser import main
from core.experiments import FineTune, Load, split_table
from core.models.backbones import Untrained


@pytest.fixture
def call(cache: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str, plain: bool = False) -> tuple[int, Any, str]:
        status = main([*arguments, "--cache", str(cache), *([] if plain else ["--json"])])
        out, err = capsys.readouterr()
        return status, out if plain else json.loads(out) if out else None, err

    return call


def test_a_table_is_audited_alone_and_against_another(call: Any, table: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("structure,length\nCCO,1.0\nCCCO,9\nCCCCCCCCCCCCC,13\n")
    status, single, _ = call("audit", str(table))
    assert status == 0 and single["kind"] == "audit" and single["title"] == "audit of alcohols.csv"
    assert "labels: size" in [finding["kind"] for finding in single["summary"]["findings"]]
    pair = ("audit", str(other), "--target", "length", "--against", str(table), "--against-target", "size")
    status, description, _ = call(*pair)
    shared = next(f for f in description["summary"]["findings"] if f["kind"] == "same molecule: alcohols.csv")
    assert shared["rows"] == 2 and shared["numbers"]["labelled"] == 2
    _, text, _ = call(*pair, plain=True)
    assert "CAUTION  same molecule: alcohols.csv\n  2 of 3 molecules are in alcohols.csv; the labels" in text
    for arguments, words in (
        (
            ("--against", str(table), "--target", "length", "--against-target", "size", "--against-target", "x"),
            "name one",
        ),
        (("--fit", "abc", "--against", str(table)), "both say what to compare with"),
        (("--against", str(tmp_path / "none.csv")), "none.csv"),
    ):
        status, _, err = call("audit", str(other), *arguments)
        assert status == 2 and words in err


def test_a_pool_is_audited_against_the_sets_of_a_fit(call: Any, table: Path, tmp_path: Path) -> None:
    train, valid, test = split_table(Load(f"file:{table}"), seed=0, train=None, valid=10, test=10)
    fit = FineTune(train, valid, test, backbone=Untrained("molsway-tiny"), steps=2, evaluations=1, batch_size=8)
    spec = tmp_path / "fit.json"
    spec.write_text(fit.text)
    key = call("run", str(spec))[1]["key"]
    status, description, _ = call("audit", str(table), "--fit", key)
    assert status == 0
    kinds = {finding["kind"]: finding for finding in description["summary"]["findings"]}
    assert kinds["same molecule: test"]["level"] == "fault" and kinds["same molecule: test"]["rows"] == 10
