"""Which scores foretell retraining: `molsway-mini`, its head and all its weights, trained again with random halves."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.bench.public_tables import CLASS_TABLES, MINI, SMALL_CLASS_SIZES, SMALL_SIZES, TABLES, make_case
from core.engine.make import make
from core.engine.report import Report
from core.engine.store import Store
from core.experiments import LDS, Influence, SubsetRetraining, import_files
from core.influence.solvers import CG, Dual, GradientSimilarity, LiSSA
from core.models.backbones import Pretrained
from core.models.methods import Full, Head

NOISE_RATE = 0.2  # of the pool's labels are another molecule's
SUBSETS = 64
METHODS = {"head": Head(), "full": Full()}
CHOICES = {"table": (*SMALL_SIZES, *CLASS_TABLES), "arm": tuple(METHODS)}


def run(
    store: Store,
    report: Report,
    folder: Path | None = None,
    tables: Sequence[str] = tuple(SMALL_SIZES),
    arms: Sequence[str] = tuple(METHODS),
    seeds: Sequence[int] = (0,),
    backbone: Pretrained = MINI,
    show: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """A row for each table, method (`arms`) and seed: the linear datamodelling score of each way, its 95 % interval.

    Every solver, plain similarity of gradients, and whole steps, at the usual and at the matched damping; all beside
    the same retrainings, which are kept in the store.
    """
    sources, sizes = TABLES | CLASS_TABLES, SMALL_SIZES | SMALL_CLASS_SIZES
    given = {name: import_files(sources[name].load(name, folder), store.files) for name in tables}
    rows, done, total = [], 0, len(tables) * len(arms) * len(seeds)
    for name in tables:
        for arm in arms:
            for seed in seeds:
                one = make_case(given[name], sizes[name], NOISE_RATE, seed, backbone=backbone, method=METHODS[arm])
                scored = {
                    way: Influence(one.fit, one.pool, one.fit.valid, **settings) for way, settings in _SCORINGS.items()
                }
                retrained = SubsetRetraining(one.fit, one.pool, one.fit.valid, subsets=SUBSETS, seed=seed)
                spec = import_files(LDS(retrained, tuple(scored.values())), store.files)
                found = make(spec, store, report.part(done / total, (done + 1) / total))
                done += 1
                called = dict(zip([each.key for each in spec.scores], scored, strict=True))
                ways = [{"solved by": called[each["scores"]], **each} for each in found.record["ways"]]
                rows.append({"table": name, "method": arm, "seed": seed, "key": spec.key, "ways": ways})
                show(format_row(rows[-1]))
    return rows


_SCORINGS: dict[str, dict[str, Any]] = {
    "dual": {"solver": Dual()},
    "dual, matched damping": {"solver": Dual(), "matched": True},
    "cg": {"solver": CG(), "stability": False},
    "lissa": {"solver": LiSSA(depth=200, repeats=1), "stability": False},
    "plain similarity": {"solver": GradientSimilarity(), "stability": False},
}


def format_row(row: dict[str, Any]) -> str:
    said = [f"{row['table']}, {row['method']}, seed {row['seed']}: correlation with {SUBSETS} retrainings"]
    ways = sorted(row["ways"], key=lambda one: -one["spearman"])
    return "\n".join(
        said
        + [
            f"  {one['spearman']:.2f} ({one['low']:.2f} to {one['high']:.2f})  {one['way']}, {one['solved by']}"
            for one in ways
        ]
    )


def as_text(rows: list[dict[str, Any]]) -> str:
    return "\n\n".join(map(format_row, rows))


def as_json(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"rows": rows}
