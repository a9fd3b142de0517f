"""Fits of several arms on the same rows of public tables, for the benchmarks `quality` and `intervals`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from core.bench.public_tables import MINI, TABLES
from core.data.dataset import Dataset
from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import Spec
from core.engine.store import Store
from core.experiments import Baseline, FineTune, Load, import_files, split_table
from core.models.backbones import Pretrained
from core.results.fit import Fit

SPLITS = ("random", "scaffold")
Fits = list[tuple[str, Fit]]  # key and fit of each seed


class Cell(NamedTuple):
    """What the fits of all arms share: the rows, the seed and the pre-trained backbone."""

    train: Spec[Dataset]
    valid: Spec[Dataset]
    test: Spec[Dataset]
    seed: int
    backbone: Pretrained


Arm = Callable[[Cell], Spec[Fit]]


def network_fit(cell: Cell, **settings: Any) -> FineTune:
    """A fine-tuning on the rows of a cell; `settings` are further fields of `FineTune`."""
    return FineTune(cell.train, cell.valid, cell.test, **{"backbone": cell.backbone, "seed": cell.seed, **settings})


def baseline_fit(baseline: Any) -> Arm:
    """The arm that trains a member of the family of baselines."""
    return lambda cell: Baseline(cell.train, cell.valid, cell.test, baseline=baseline, seed=cell.seed)


def make_cells(table: Load, split: str, seeds: Sequence[int], backbone: Pretrained = MINI) -> Iterator[Cell]:
    """A cell for each seed; a tenth of the rows each for validation and test."""
    for seed in seeds:
        train, valid, test = split_table(table, by=split, seed=seed, train=None, valid=0.1, test=0.1)
        yield Cell(train, valid, test, seed, backbone)


def measure_all(
    arms: Mapping[str, Arm],
    measure: Callable[[str, str, str, Fits], dict[str, Any]],
    as_line: Callable[[dict[str, Any]], str],
    store: Store,
    report: Report,
    folder: Path | None = None,
    tables: Sequence[str] = tuple(TABLES),
    splits: Sequence[str] = SPLITS,
    seeds: Sequence[int] = (0, 1, 2),
    backbone: Pretrained = MINI,
    show: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """One row for each table, split and arm: what `measure` returns for its fits. `show` gets each row as text.

    Every fit is stored, so that an interrupted benchmark resumes where it stopped.
    """
    loads = {name: import_files(TABLES[name].load(name, folder), store.files) for name in tables}
    rows: list[dict[str, Any]] = []
    for cell_fits in fit_all(loads, splits, arms, seeds, backbone, store, report):
        rows.append(measure(*cell_fits))
        show(as_line(rows[-1]))
    return rows


def fit_all(
    tables: Mapping[str, Load],
    splits: Sequence[str],
    arms: Mapping[str, Arm],
    seeds: Sequence[int],
    backbone: Pretrained,
    store: Store,
    report: Report,
) -> Iterator[tuple[str, str, str, Fits]]:
    """Yield table, split, arm and the fits of all seeds with their keys. Every fit is stored."""
    total, done = len(tables) * len(splits) * len(arms) * len(seeds), 0
    for name, table in tables.items():
        for split in splits:
            for arm, make_spec in arms.items():
                fits = []
                for cell in make_cells(table, split, seeds, backbone):
                    spec = import_files(make_spec(cell), store.files)
                    fits.append((spec.key, make(spec, store, report.part(done / total, (done + 1) / total))))
                    done += 1
                yield name, split, arm, fits
