"""Part: one part of a table that is split into training, validation and test parts, and a pool."""

from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from core.chem import molecules as chem
from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings

PartName = Literal["train", "valid", "test", "pool"]
SplitRule = Literal["random", "scaffold", "label"]
NAMES: tuple[PartName, ...] = ("train", "valid", "test", "pool")
STRATA = 10


@settings
class Split(Spec[Dataset]):
    """One part of a split table.

    Stereoisomers (one graph, whatever its stereo marks) are never in two parts. `random` shuffles; `scaffold` keeps
    each Murcko scaffold whole, the common ones in the training part; `label` gives every part the same spread of the
    first target. The parts of one table with the same settings share no row and leave none out; a part has exactly the
    rows asked for as far as molecules that belong together allow it (a scaffold may be larger than any part). With
    `random` and `label` the test part depends on its own size and the seed alone, not on the other sizes.
    """

    kind: ClassVar[str] = "split"
    page: ClassVar[str] = "data"
    effort: ClassVar[float] = 0.1

    table: Spec[Dataset] = Field(description="the table that is split")
    part: PartName = Field("train", description="the part that is wanted")
    by: SplitRule = Field("random", description="how molecules are put into parts")
    train: float | None = Field(None, ge=0, description="share (below 1) or rows (from 1); empty: the rest, 0: none")
    valid: float | None = Field(0.1, ge=0, description="share (below 1) or rows (from 1); empty: the rest, 0: none")
    test: float | None = Field(0.1, ge=0, description="share (below 1) or rows (from 1); empty: the rest, 0: none")
    pool: float | None = Field(0.0, ge=0, description="share (below 1) or rows (from 1); empty: the rest, 0: none")
    seed: int = Field(0, ge=0, description="shuffles; with scaffolds it only settles ties")

    @model_validator(mode="after")
    def _one_rest(self) -> "Split":
        sizes = self.sizes
        if sum(size is None for size in sizes.values()) != 1:
            given = ", ".join(f"{name}={size}" for name, size in sizes.items())
            raise BadInput(f"exactly one part is the rest (None, the others a share or a number of rows); got {given}")
        for name, size in sizes.items():
            if size is not None and size >= 1 and size != int(size):
                raise BadInput(f"{name} wants a share below 1 or a whole number of rows, got {size:g}")
        if sum(size for size in sizes.values() if size is not None and size < 1) >= 1:
            raise BadInput("the shares add up to 1 or more, nothing is left for the rest; lower one")
        if sizes[self.part] == 0:
            raise BadInput(f"the part {self.part!r} has size 0; give it a size")
        return self

    @property
    def sizes(self) -> dict[str, float | None]:
        return {name: getattr(self, name) for name in NAMES}

    @property
    def title(self) -> str:
        return f"{self.part} part of {self.table.title.removeprefix('load ')}"

    def make(self, report: Report, table: Dataset) -> Dataset:
        report(0, f"splitting {len(table):,} molecules by {self.by}")
        made = split_rows(table, self.by, self.sizes, self.seed, report)
        note = {"by": self.by, "seed": self.seed, "part": self.part, "of": table.digest, "sizes": self.sizes}
        note["rows"] = {name: len(rows) for name, rows in made.items()}
        return table.take(made[self.part], split=[*table.provenance.get("split", []), note])


def split_table(
    table: Spec[Dataset], by: SplitRule = "random", seed: int = 0, **sizes: float | None
) -> tuple[Split, ...]:
    """The recipes of the parts: train, valid, test, and the pool where it has a size. Sizes as in `Split`."""
    whole = Split(table, by=by, seed=seed, part=_default_part(sizes), **sizes)
    return tuple(Split(table, part=name, by=by, seed=seed, **sizes) for name in NAMES if whole.sizes[name] != 0)


def split_rows(
    table: Dataset, by: SplitRule, sizes: dict[str, float | None], seed: int, report: Callable[..., None]
) -> dict[str, np.ndarray]:
    """Ascending rows of every part; each row in exactly one. Raises `BadInput` where a part would be empty."""
    counts = _counts(len(table), sizes)
    order = np.random.default_rng(seed)
    key = chem.scaffold if by == "scaffold" else chem.stereo_free_smiles
    found: dict[str, list[int]] = {}
    for row, smiles in enumerate(table.smiles):
        if row % 500 == 0:
            report(0.9 * row / len(table), f"looking for molecules that belong together, {row:,} of {len(table):,}")
        found.setdefault(key(smiles), []).append(row)
    groups = [np.array(rows) for rows in found.values()]
    groups = [groups[place] for place in order.permutation(len(groups))]
    if by == "scaffold":
        made = _fill_largest_first(groups, counts)
    else:
        made = _fill_in_order(_fill_by_strata(groups, table, order) if by == "label" else groups, counts, sizes)
    for name, wanted in counts.items():
        if wanted and not len(made[name]):
            raise BadInput(
                f"the {name} part of {len(table)} rows got none of its {wanted}: the molecules that belong together "
                f"({by}) come in {len(groups)} groups; ask for more rows, or split at random"
            )
    return made


def _counts(n: int, sizes: dict[str, float | None]) -> dict[str, int]:
    """Rows of each part; the rest is what the others leave."""
    counts = {name: round(size * n) if size < 1 else int(size) for name, size in sizes.items() if size is not None}
    (rest,) = (name for name, size in sizes.items() if size is None)
    left = n - sum(counts.values())
    asked = ", ".join(f"{name} {size:g} is {counts[name]}" for name, size in sizes.items() if size)
    if left < 1 or any(counts[name] < 1 for name, size in sizes.items() if size):
        raise BadInput(
            f"{n} rows are too few: {asked or 'nothing asked for'}, and {rest} gets {left}; each wants 1 or more"
        )
    return {name: counts.get(name, left) for name in NAMES}


def _fill_in_order(
    groups: list[np.ndarray], counts: dict[str, int], sizes: dict[str, float | None]
) -> dict[str, np.ndarray]:
    """Fill test, valid, pool and train in turn from the groups in order; the part without a size gets the rest."""
    made = {}
    for name in ("test", "valid", "pool", "train"):
        if sizes[name] is None:
            continue
        taken, left, room = [], [], counts[name]
        for group in groups:
            (taken if len(group) <= room else left).append(group)
            room -= len(group) * (len(group) <= room)
        if room:  # one group for another that is larger by what is missing
            sized = {len(group): place for place, group in reversed(list(enumerate(left)))}
            swap = next((k for k, group in reversed(list(enumerate(taken))) if len(group) + room in sized), None)
            if swap is not None:
                place = sized[len(taken[swap]) + room]
                taken[swap], left[place] = left[place], taken[swap]
        made[name], groups = _rows(taken), left
    return {name: made.get(name, _rows(groups)) for name in NAMES}


def _fill_largest_first(groups: list[np.ndarray], counts: dict[str, int]) -> dict[str, np.ndarray]:
    """Each group, largest first, into the first of train, pool, valid, test that has room, else where most is left."""
    taken: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    room = {name: counts[name] for name in ("train", "pool", "valid", "test") if counts[name]}
    for group in sorted(groups, key=len, reverse=True):
        name = next((name for name in room if len(group) <= room[name]), max(room, key=room.get))
        taken[name].append(group)
        room[name] -= len(group)
    return {name: _rows(taken[name]) for name in NAMES}


def _fill_by_strata(groups: list[np.ndarray], table: Dataset, order: np.random.Generator) -> list[np.ndarray]:
    """The groups in an order of which every stretch has the label's spread: strata of like labels, dealt in turn."""
    if not table.tasks or np.isnan(table.targets).all():
        raise BadInput("a split by label wants a measured target, this table has none; split at random or by scaffold")
    first = next(column for column in table.targets.T if not np.isnan(column).all())
    labels = np.array([np.mean(known) if len(known := first[g][~np.isnan(first[g])]) else np.nan for g in groups])
    values = np.unique(labels[~np.isnan(labels)])
    cuts = values if len(values) <= STRATA else np.nanquantile(labels, np.arange(1, STRATA) / STRATA)
    strata = np.where(np.isnan(labels), -1, np.searchsorted(cuts, labels))
    place = np.zeros(len(groups))
    for stratum in np.unique(strata):
        mine = np.flatnonzero(strata == stratum)
        place[order.permutation(mine)] = (np.arange(len(mine)) + order.random()) / len(mine)
    return [groups[k] for k in np.argsort(place, kind="stable")]


def _rows(groups: list[np.ndarray]) -> np.ndarray:
    return np.sort(np.concatenate(groups)) if groups else np.zeros(0, int)


def _default_part(sizes: dict[str, float | None]) -> PartName:
    return next((name for name in NAMES if sizes.get(name, 1) != 0), "train")
