"""Split: the training, validation or test set of a split table, or its pool."""

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
SET_TITLES = {"train": "training set", "valid": "validation set", "test": "test set", "pool": "pool"}
STRATA = 10


@settings
class Split(Spec[Dataset]):
    """One set of a split table: training, validation, test or pool.

    Stereoisomers are never in two sets. `random` shuffles; `scaffold` keeps each Murcko scaffold in one set, the common
    ones in the training set; `label` stratifies by the first task with labels, so that its distribution is the same in
    every set. With the same settings, every row is in exactly one set. A set has exactly the requested number of rows
    unless a group of molecules that stay together is too large. With `random` and `label` the test set depends on its
    own size and the seed alone, not on the other sizes.
    """

    kind: ClassVar[str] = "split"
    page: ClassVar[str] = "data"
    effort: ClassVar[float] = 0.1

    table: Spec[Dataset] = Field(description="the table to split")
    part: PartName = Field("train", description="the set to return")
    by: SplitRule = Field("random", description="random, by scaffold, or stratified by label")
    train: float | None = Field(None, ge=0, description="share (below 1) or rows (from 1); empty: the rest, 0: none")
    valid: float | None = Field(0.1, ge=0, description="share (below 1) or rows (from 1); empty: the rest, 0: none")
    test: float | None = Field(0.1, ge=0, description="share (below 1) or rows (from 1); empty: the rest, 0: none")
    pool: float | None = Field(0.0, ge=0, description="share (below 1) or rows (from 1); empty: the rest, 0: none")
    seed: int = Field(0, ge=0, description="random seed; with scaffolds it only breaks ties")

    @model_validator(mode="after")
    def _check_sizes(self) -> "Split":
        sizes = self.sizes
        if sum(size is None for size in sizes.values()) != 1:
            listing = ", ".join(f"{name}={size}" for name, size in sizes.items())
            raise BadInput(
                f"exactly one set is the rest (None; the others are a share or a number of rows); got {listing}"
            )
        for name, size in sizes.items():
            if size is not None and size >= 1 and size != int(size):
                raise BadInput(f"{name} wants a share below 1 or a whole number of rows, got {size:g}")
        if sum(size for size in sizes.values() if size is not None and size < 1) >= 1:
            raise BadInput("the shares add up to 1 or more, so nothing is left for the rest; lower one")
        if sizes[self.part] == 0:
            raise BadInput(f"{self.part!r} has size 0; give it a size")
        return self

    @property
    def sizes(self) -> dict[str, float | None]:
        return {name: getattr(self, name) for name in NAMES}

    @property
    def title(self) -> str:
        return f"{SET_TITLES[self.part]} of {self.table.title.removeprefix('load ')}"

    def make(self, report: Report, table: Dataset) -> Dataset:
        report(0, f"splitting {len(table):,} molecules by {self.by}")
        parts = split_rows(table, self.by, self.sizes, self.seed, report)
        note = {"by": self.by, "seed": self.seed, "part": self.part, "of": table.digest, "sizes": self.sizes}
        note["rows"] = {name: len(rows) for name, rows in parts.items()}
        return table.take(parts[self.part], split=[*table.provenance.get("split", []), note])


def split_table(
    table: Spec[Dataset], by: SplitRule = "random", seed: int = 0, **sizes: float | None
) -> tuple[Split, ...]:
    """Specs of the sets: train, valid, test, and the pool where its size is not 0. Sizes as in `Split`."""
    default = Split(table, by=by, seed=seed, part=_default_part(sizes), **sizes)
    return tuple(Split(table, part=name, by=by, seed=seed, **sizes) for name in NAMES if default.sizes[name] != 0)


def split_rows(
    table: Dataset, by: SplitRule, sizes: dict[str, float | None], seed: int, report: Callable[..., None]
) -> dict[str, np.ndarray]:
    """Row numbers of every set, ascending; each row is in one set. Raises `BadInput` where a set would be empty."""
    counts = _count_rows(len(table), sizes)
    generator = np.random.default_rng(seed)
    key = chem.scaffold if by == "scaffold" else chem.stereo_free_smiles
    rows_by_key: dict[str, list[int]] = {}
    for row, smiles in enumerate(table.smiles):
        if row % 500 == 0:
            report(0.9 * row / len(table), f"grouping molecules, {row:,} of {len(table):,}")
        rows_by_key.setdefault(key(smiles), []).append(row)
    groups = [np.array(rows) for rows in rows_by_key.values()]
    groups = [groups[index] for index in generator.permutation(len(groups))]
    if by == "scaffold":
        parts = _fill_largest_first(groups, counts)
    else:
        parts = _fill_in_order(_fill_by_strata(groups, table, generator) if by == "label" else groups, counts, sizes)
    for name, wanted in counts.items():
        if wanted and not len(parts[name]):
            raise BadInput(
                f"the {name} set of {wanted} of {len(table)} rows got no group of molecules that stay together ({by}); "
                f"there are {len(groups)} groups. Ask for more rows, or split at random"
            )
    return parts


def _count_rows(n: int, sizes: dict[str, float | None]) -> dict[str, int]:
    """Number of rows of each set; the one without a size gets the rest."""
    counts = {name: round(size * n) if size < 1 else int(size) for name, size in sizes.items() if size is not None}
    (rest,) = (name for name, size in sizes.items() if size is None)
    left = n - sum(counts.values())
    asked = ", ".join(f"{name} {size:g} is {counts[name]}" for name, size in sizes.items() if size)
    if left < 1 or any(counts[name] < 1 for name, size in sizes.items() if size):
        raise BadInput(f"{n} rows are too few: {asked or 'no sizes'}, and {rest} gets {left}; each wants 1 or more")
    return {name: counts.get(name, left) for name in NAMES}


def _fill_in_order(
    groups: list[np.ndarray], counts: dict[str, int], sizes: dict[str, float | None]
) -> dict[str, np.ndarray]:
    """Fill test, valid, pool and train in turn with the groups in order; the set without a size gets the rest."""
    parts = {}
    for name in ("test", "valid", "pool", "train"):
        if sizes[name] is None:
            continue
        chosen, left, missing = [], [], counts[name]
        for group in groups:
            (chosen if len(group) <= missing else left).append(group)
            missing -= len(group) * (len(group) <= missing)
        if missing:  # replace one group by a group that is larger by the missing rows
            by_size = {len(group): index for index, group in reversed(list(enumerate(left)))}
            swap = next((k for k, group in reversed(list(enumerate(chosen))) if len(group) + missing in by_size), None)
            if swap is not None:
                index = by_size[len(chosen[swap]) + missing]
                chosen[swap], left[index] = left[index], chosen[swap]
        parts[name], groups = _join_groups(chosen), left
    return {name: parts.get(name, _join_groups(groups)) for name in NAMES}


def _fill_largest_first(groups: list[np.ndarray], counts: dict[str, int]) -> dict[str, np.ndarray]:
    """Put each group, largest first, into the first of train, pool, valid, test that can hold it, else the emptiest."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    missing = {name: counts[name] for name in ("train", "pool", "valid", "test") if counts[name]}
    for group in sorted(groups, key=len, reverse=True):
        name = next((name for name in missing if len(group) <= missing[name]), max(missing, key=missing.get))
        parts[name].append(group)
        missing[name] -= len(group)
    return {name: _join_groups(parts[name]) for name in NAMES}


def _fill_by_strata(groups: list[np.ndarray], table: Dataset, generator: np.random.Generator) -> list[np.ndarray]:
    """Order the groups so that every slice has the label distribution: strata of similar labels, evenly interleaved."""
    if not table.tasks or np.isnan(table.targets).all():
        raise BadInput("a split by label wants a measured label, this table has none; split at random or by scaffold")
    first = next(column for column in table.targets.T if not np.isnan(column).all())
    labels = np.array([np.mean(measured) if len(measured := first[g][~np.isnan(first[g])]) else np.nan for g in groups])
    values = np.unique(labels[~np.isnan(labels)])
    cuts = values if len(values) <= STRATA else np.nanquantile(labels, np.arange(1, STRATA) / STRATA)
    strata = np.where(np.isnan(labels), -1, np.searchsorted(cuts, labels))
    positions = np.zeros(len(groups))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        positions[generator.permutation(members)] = (np.arange(len(members)) + generator.random()) / len(members)
    return [groups[k] for k in np.argsort(positions, kind="stable")]


def _join_groups(groups: list[np.ndarray]) -> np.ndarray:
    return np.sort(np.concatenate(groups)) if groups else np.zeros(0, int)


def _default_part(sizes: dict[str, float | None]) -> PartName:
    return next((name for name in NAMES if sizes.get(name, 1) != 0), "train")
