"""Parallel results equal serial ones, in order, with progress."""

from core.chem import molecules as chem
from core.data.audit.single_table import stereo_free_keys
from core.engine import parallel
from core.engine.report import Report


def test_processes_and_one_core_give_the_same(monkeypatch) -> None:
    texts = ["C" * n + end for n in range(1, 12) for end in ("O", "(", "[C@H](O)N", "")]
    expected = parallel.map_texts(chem.try_canonical_smiles, texts)
    fractions: list[float] = []
    monkeypatch.setattr(parallel, "MIN_TEXTS", 10)
    monkeypatch.setattr(parallel, "CHUNK_TEXTS", 7)
    assert (
        parallel.map_texts(
            chem.try_canonical_smiles, texts, Report(tell=lambda fraction, *_: fractions.append(fraction))
        )
        == expected
    )
    assert fractions[-1] == 1 and fractions == sorted(fractions)
    names = [name for name, _ in expected if name]
    assert stereo_free_keys(names) == [chem.stereo_free_smiles(name) for name in names]
    assert "(" in texts[1] and expected[1][0] == "" and "no molecule" in expected[1][1]
