"""How well scores predict retraining: `molsway-mini`, its head or all its weights, retrained with random halves."""

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

NOISE_RATE = 0.2  # share of the pool whose labels are swapped
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
    """A row for each table, method (`arms`) and seed: linear datamodelling scores with their 95 % intervals.

    Compares every solver, gradient similarity, and full updates at the default and at the matched damping with the
    same retrainings, which are stored.
    """
    sources, sizes = TABLES | CLASS_TABLES, SMALL_SIZES | SMALL_CLASS_SIZES
    loads = {name: import_files(sources[name].load(name, folder), store.files) for name in tables}
    rows, done, total = [], 0, len(tables) * len(arms) * len(seeds)
    for name in tables:
        for arm in arms:
            for seed in seeds:
                case = make_case(loads[name], sizes[name], NOISE_RATE, seed, backbone=backbone, method=METHODS[arm])
                scores = {
                    solver: Influence(case.fit, case.pool, case.fit.valid, **settings)
                    for solver, settings in _SCORINGS.items()
                }
                retraining = SubsetRetraining(case.fit, case.pool, case.fit.valid, subsets=SUBSETS, seed=seed)
                spec = import_files(LDS(retraining, tuple(scores.values())), store.files)
                check = make(spec, store, report.part(done / total, (done + 1) / total))
                done += 1
                solver_of_key = dict(zip([each.key for each in spec.scores], scores, strict=True))
                ways = [{"solved by": solver_of_key[each["scores"]], **each} for each in check.record["ways"]]
                rows.append({"table": name, "method": arm, "seed": seed, "key": spec.key, "ways": ways})
                show(format_row(rows[-1]))
    return rows


_SCORINGS: dict[str, dict[str, Any]] = {
    "dual": {"solver": Dual()},
    "dual, matched damping": {"solver": Dual(), "matched": True},
    "cg": {"solver": CG(), "stability": False},
    "lissa": {"solver": LiSSA(depth=200, repeats=1), "stability": False},
    "gradient similarity": {"solver": GradientSimilarity(), "stability": False},
}


def format_row(row: dict[str, Any]) -> str:
    head = [f"{row['table']}, {row['method']}, seed {row['seed']}: correlation with {SUBSETS} retrainings"]
    ways = sorted(row["ways"], key=lambda one: -one["spearman"])
    return "\n".join(
        head
        + [
            f"  {way['spearman']:.2f} ({way['low']:.2f} to {way['high']:.2f})  {way['way']}, {way['solved by']}"
            for way in ways
        ]
    )


def as_text(rows: list[dict[str, Any]]) -> str:
    return "\n\n".join(map(format_row, rows))


def as_json(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"rows": rows}
