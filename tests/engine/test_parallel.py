"""Many molecules on all cores give what one core gives, in order, and say how far they are."""

from core.chem import molecules as chem
from core.data.audit.single_table import stereo_free_keys
from core.engine import parallel
from core.engine.report import Report


def test_processes_give_what_one_core_gives(monkeypatch) -> None:
    texts = ["C" * n + end for n in range(1, 12) for end in ("O", "(", "[C@H](O)N", "")]
    alone = parallel.map_texts(chem.try_canonical_smiles, texts)
    said: list[float] = []
    monkeypatch.setattr(parallel, "MIN_TEXTS", 10)
    monkeypatch.setattr(parallel, "CHUNK_TEXTS", 7)
    assert (
        parallel.map_texts(chem.try_canonical_smiles, texts, Report(tell=lambda fraction, *_: said.append(fraction)))
        == alone
    )
    assert said[-1] == 1 and said == sorted(said)
    names = [name for name, _ in alone if name]
    assert stereo_free_keys(names) == [chem.stereo_free_smiles(name) for name in names]
    assert "(" in texts[1] and alone[1][0] == "" and "no molecule" in alone[1][1]
