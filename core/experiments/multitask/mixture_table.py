"""MixtureTable: one table of a mixture, without molecules of any validation or test set of the mixture."""

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
    """One table of a multitask training, with its loss, scaler and weight.

    Overlap between tables is removed, ignoring stereochemistry: the training set loses molecules of any table's
    validation or test set, the validation set those of any test set. `build_mixture` fills in the other tables. Each
    removed row is listed.
    """

    kind: ClassVar[str] = "mixture-table"
    effort: ClassVar[float] = 0.1

    train: Spec[Dataset] = Field(description="training molecules")
    valid: Spec[Dataset] = Field(description="molecules that select the best evaluation")
    test: Spec[Dataset] = Field(description="molecules used only to report the error")
    name: str = Field(default="", description="name; empty: that of the table")
    loss: Literal["mae", "mse", "huber", "binned"] = Field(
        default="mae",
        description="of regression tasks; binned: cross-entropy on quantiles. Binary tasks use the cross-entropy",
    )
    scaler: Literal["standard", "robust", "none"] = Field(
        default="standard",
        description="scaling of regression labels: by mean and standard deviation, or by median and quartiles",
    )
    weight: float = Field(default=1.0, gt=0, description="weight of its loss relative to the other tables")
    bins: int = Field(default=5, ge=2, le=100, description="number of quantiles of the binned loss")
    hidden: int = Field(default=64, ge=1, le=4096, description="width of the hidden layer of its head")
    atoms: Literal["", "logP", "molar refractivity", "partial charge"] = Field(
        default="",
        description="predict the computed contributions of single atoms to this property instead of the table's labels",
    )
    tests: tuple[Spec[Dataset], ...] = Field(
        default=(), description="test sets of other tables, whose molecules are removed"
    )
    valids: tuple[Spec[Dataset], ...] = Field(
        default=(), description="validation sets of other tables, whose molecules are removed"
    )

    @property
    def title(self) -> str:
        return self.called

    @property
    def called(self) -> str:
        table_name = self.train.title.removeprefix("training set of ")
        return self.name or (f"{self.atoms} of the atoms of {table_name}" if self.atoms else table_name)

    def make(
        self,
        report: Report,
        train: Dataset,
        valid: Dataset,
        test: Dataset,
        tests: Sequence[Dataset] = (),
        valids: Sequence[Dataset] = (),
    ) -> MixtureParts:
        report(0, "removing overlap between tables")
        test_parts = [("the test part of this table", test)]
        test_parts += [("the test part of another table", other) for other in tests]
        valid_parts = [("the validation part of this table", valid)]
        valid_parts += [("the validation part of another table", other) for other in valids]
        tables, left_out = {"test": test}, []
        steps = (("valid", valid, test_parts), ("train", train, [*test_parts, *valid_parts]))
        for index, (part, table, against) in enumerate(steps):
            tables[part], removed_rows = remove_overlap(table, against, report.part(index / 2, (index + 1) / 2))
            left_out += [{"part": part, **row} for row in removed_rows]
            if not len(tables[part]):
                raise BadInput(
                    f"{self.called}: all {len(table):,} molecules of the {part} part are in a validation or test set "
                    "of the mixture; split the tables differently, or leave one out"
                )
        if not self.atoms and not train.tasks:
            raise BadInput(f"{self.called} has no target column; name one in `targets`, or set `atoms`")
        if self.loss == "binned" and not self.atoms and "binary" in train.kinds:
            raise BadInput(f"the binned loss is for regression; {self.called} has binary tasks: use another loss")
        tables, unlearnable = self.check_learnable(tables)
        task_settings = TaskSettings(
            self.called, self.loss, self.scaler, self.weight, self.bins, self.hidden, self.atoms
        )
        parts = {name: tables[name] for name in ("train", "valid", "test")}
        return MixtureParts(parts, task_settings, pd.DataFrame(left_out, columns=list(LEFT_OUT)), unlearnable)

    def check_learnable(self, tables: dict[str, Dataset]) -> tuple[dict[str, Dataset], tuple[str, ...]]:
        """The tables without tasks that are constant in the training set, and the names of these tasks.

        Raises `BadInput` if no task is left.
        """
        train = tables["train"]
        varying = np.array([len(np.unique(labels[~np.isnan(labels)])) > 1 for labels in train.targets.T], bool)
        if self.atoms or varying.all():
            return tables, ()
        if not varying.any():
            raise BadInput(
                f"{self.called}: no task has two different labels in the training set; use a larger table, or other "
                "targets"
            )
        columns = np.flatnonzero(varying)
        constant_tasks = tuple(task for task, varies in zip(train.tasks, varying, strict=True) if not varies)
        return {name: table.select_tasks(columns) for name, table in tables.items()}, constant_tasks


def remove_overlap(
    table: Dataset, against: Iterable[tuple[str, Dataset]], report: Report
) -> tuple[Dataset, list[dict[str, str]]]:
    """The table without molecules of the tables `against`, ignoring stereochemistry; the removed rows with reasons."""
    reasons: dict[str, str] = {}
    for reason, other in against:
        for smiles in other.smiles:
            reasons.setdefault(chem.stereo_free_smiles(smiles), f"in {reason}")
    keep, removed_rows = np.ones(len(table), bool), []
    for row, smiles in enumerate(table.smiles):
        if row % 1000 == 0:
            report(row / len(table), f"removing overlap between tables, {row:,} of {len(table):,}")
        if reason := reasons.get(chem.stereo_free_smiles(smiles)):
            keep[row] = False
            removed_rows.append({"smiles": smiles, "reason": reason})
    return (table if keep.all() else table.take(keep)), removed_rows


def build_mixture(
    members: Sequence[MixtureTable], context: Sequence[tuple[Spec[Dataset], Spec[Dataset]]] = ()
) -> tuple[MixtureTable, ...]:
    """The members without overlap with each other's validation and test sets, nor with those of `context`.

    `context`: (validation, test) of tables that the network is fine-tuned on later. A member has the same rows whether
    it is trained with the others or alone, so that the two can be compared.
    """
    valids = {spec.key: spec for spec in [*(member.valid for member in members), *(valid for valid, _ in context)]}
    tests = {spec.key: spec for spec in [*(member.test for member in members), *(test for _, test in context)]}

    def others(specs: dict[str, Spec[Dataset]], excluded: Spec[Dataset]) -> tuple[Spec[Dataset], ...]:
        return tuple(spec for key, spec in specs.items() if key != excluded.key)

    return tuple(
        replace(member, valids=others(valids, member.valid), tests=others(tests, member.test)) for member in members
    )
