"""Many molecules on all cores give what one core gives, in order, and say how far they are."""

from core.chem import molecules as chem
from core.data.audit.single_table import flat_keys
from core.engine import parallel
from core.engine.report import Report


def test_processes_give_what_one_core_gives(monkeypatch) -> None:
    texts = ["C" * n + end for n in range(1, 12) for end in ("O", "(", "[C@H](O)N", "")]
    alone = parallel.each(chem.named, texts)
    said: list[float] = []
    monkeypatch.setattr(parallel, "MANY", 10)
    monkeypatch.setattr(parallel, "CHUNK", 7)
    assert parallel.each(chem.named, texts, Report(tell=lambda fraction, *_: said.append(fraction))) == alone
    assert said[-1] == 1 and said == sorted(said)
    names = [name for name, _ in alone if name]
    assert flat_keys(names) == [chem.flat_key(name) for name in names]
    assert "(" in texts[1] and alone[1][0] == "" and "no molecule" in alone[1][1]
