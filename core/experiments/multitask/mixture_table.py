"""Member: one table of a mixture, its parts kept clear of what any other table is tested and chosen by."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from core.chem import molecules as chem
from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.results.mixture import LEFT_OUT, MixtureParts, TaskSettings


@settings
class MixtureTable(Spec[MixtureParts]):
    """A table that a network is to learn together with others, and how.

    No molecule, stereo marks aside, is in two kinds of part over all tables: from the training part goes what any table
    is chosen or tested by, from the validation part what any is tested by. `build_mixture` fills in what these are. Each row
    that goes is listed.
    """

    kind: ClassVar[str] = "mixture-table"
    effort: ClassVar[float] = 0.1

    train: Spec[Dataset] = Field(description="molecules to learn from")
    valid: Spec[Dataset] = Field(description="molecules that choose the best evaluation")
    test: Spec[Dataset] = Field(description="molecules that only report")
    name: str = Field(default="", description="what it is called; empty: as its table")
    loss: Literal["mae", "mse", "huber", "binned"] = Field(
        default="mae",
        description="of regression tasks; binned: cross-entropy on quantiles. Binary ones have the cross-entropy",
    )
    scaler: Literal["standard", "robust", "none"] = Field(
        default="standard", description="how regression labels are scaled: by mean and sd, by median and quartiles"
    )
    weight: float = Field(default=1.0, gt=0, description="of its loss among the others'")
    bins: int = Field(default=5, ge=2, le=100, description="quantiles, for the binned loss")
    hidden: int = Field(default=64, ge=1, le=4096, description="width of the hidden layer of its head")
    atoms: Literal["", "logP", "molar refractivity", "partial charge"] = Field(
        default="", description="learn what single atoms contribute to this, computed, in place of the table's labels"
    )
    tests: tuple[Spec[Dataset], ...] = Field(default=(), description="other tables' test parts, to be kept clear of")
    valids: tuple[Spec[Dataset], ...] = Field(default=(), description="other tables' validation parts, likewise")

    @property
    def title(self) -> str:
        return self.called

    @property
    def called(self) -> str:
        own = self.train.title.removeprefix("training set of ")
        return self.name or (f"{self.atoms} of the atoms of {own}" if self.atoms else own)

    def make(
        self,
        report: Report,
        train: Dataset,
        valid: Dataset,
        test: Dataset,
        tests: Sequence[Dataset] = (),
        valids: Sequence[Dataset] = (),
    ) -> MixtureParts:
        report(0, "looking for molecules that other parts have")
        held = [("the test part of this table", test), *(("the test part of another table", one) for one in tests)]
        chosen = [("the validation part of this table", valid)]
        chosen += [("the validation part of another table", one) for one in valids]
        made, lost = {"test": test}, []
        for place, (part, table, against) in enumerate((("valid", valid, held), ("train", train, [*held, *chosen]))):
            made[part], gone = remove_overlap(table, against, report.part(place / 2, (place + 1) / 2))
            lost += [{"part": part, **one} for one in gone]
            if not len(made[part]):
                raise BadInput(
                    f"{self.called}: all {len(table):,} molecules of the {part} part are ones that some table is "
                    "tested or chosen by; split the tables otherwise, or leave one out"
                )
        if not self.atoms and not train.tasks:
            raise BadInput(f"{self.called} has no target column; name some in `targets`, or give `atoms`")
        if self.loss == "binned" and not self.atoms and "binary" in train.kinds:
            raise BadInput(f"the binned loss is of regression; {self.called} has tasks of 0 and 1: take another loss")
        made, unlearnable = self.check_learnable(made)
        learning = TaskSettings(self.called, self.loss, self.scaler, self.weight, self.bins, self.hidden, self.atoms)
        parts = {name: made[name] for name in ("train", "valid", "test")}
        return MixtureParts(parts, learning, pd.DataFrame(lost, columns=list(LEFT_OUT)), unlearnable)

    def check_learnable(self, made: dict[str, Dataset]) -> tuple[dict[str, Dataset], tuple[str, ...]]:
        """The parts without tasks of which the training part has no two different labels; and what these were.

        Raises `BadInput` where none is left.
        """
        train = made["train"]
        varied = np.array([len(np.unique(labels[~np.isnan(labels)])) > 1 for labels in train.targets.T], bool)
        if self.atoms or varied.all():
            return made, ()
        if not varied.any():
            raise BadInput(
                f"{self.called}: no task has two different labels in the training part; there is nothing to learn from "
                "it: use a larger table, or other targets"
            )
        kept = np.flatnonzero(varied)
        lost = tuple(task for task, fine in zip(train.tasks, varied, strict=True) if not fine)
        return {name: table.select_tasks(kept) for name, table in made.items()}, lost


def remove_overlap(
    table: Dataset, against: Iterable[tuple[str, Dataset]], report: Report
) -> tuple[Dataset, list[dict[str, str]]]:
    """The table without the molecules of others, stereo marks aside, and which these were, with the reason."""
    known: dict[str, str] = {}
    for reason, other in against:
        for smiles in other.smiles:
            known.setdefault(chem.stereo_free_smiles(smiles), f"in {reason}")
    kept, gone = np.ones(len(table), bool), []
    for row, smiles in enumerate(table.smiles):
        if row % 1000 == 0:
            report(row / len(table), f"looking for molecules that other parts have, {row:,} of {len(table):,}")
        if reason := known.get(chem.stereo_free_smiles(smiles)):
            kept[row] = False
            gone.append({"smiles": smiles, "reason": reason})
    return (table if kept.all() else table.take(kept)), gone


def build_mixture(
    members: Sequence[MixtureTable], beside: Sequence[tuple[Spec[Dataset], Spec[Dataset]]] = ()
) -> tuple[MixtureTable, ...]:
    """Members that keep clear of each other's validation and test parts, and of those of tables `beside` the mixture.

    `beside`: (validation, test) of tables that a network is used for afterwards. A member keeps the same rows whether
    it is learned with the others or alone, so that the two can be compared.
    """
    valids = {one.key: one for one in [*(member.valid for member in members), *(valid for valid, _ in beside)]}
    tests = {one.key: one for one in [*(member.test for member in members), *(test for _, test in beside)]}

    def others(known: dict[str, Spec[Dataset]], own: Spec[Dataset]) -> tuple[Spec[Dataset], ...]:
        return tuple(one for key, one in known.items() if key != own.key)

    return tuple(replace(one, valids=others(valids, one.valid), tests=others(tests, one.test)) for one in members)
