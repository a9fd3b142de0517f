"""A study: every arm with every seed, on the same test molecules → a Comparison."""

from collections.abc import Sequence
from typing import Any, ClassVar

import pandas as pd
from pydantic import Field

from core.engine.report import Report
from core.engine.spec import BadInput, FailedPart, Spec, settings
from core.experiments.training.baseline import Baseline
from core.models.backbones import Gnn, Untrained
from core.results.comparison import (
    PICK_COLUMNS,
    Comparison,
    collect_warnings,
    compare_arms,
    describe_unequal_work,
    role_of,
    write_verdict,
)
from core.results.fit import Fit


@settings
class Study(Spec[Comparison]):
    """Which model is better, beyond the noise? Train each arm with every seed and compare on the same molecules.

    The first arm is the reference. Each seed draws everything random anew (head, batches, dropout, random weights, an
    adaptation); the rows stay. An arm that fails is left out with its reason; the others continue. Every training is
    saved as soon as it is done, so an interrupted study resumes.
    """

    kind: ClassVar[str] = "study"
    page: ClassVar[str] = "methods"
    tolerant: ClassVar[bool] = True

    arms: tuple[Spec[Fit], ...] = Field(description="models to compare, the reference first")
    names: tuple[str, ...] = Field(default=(), description="names of the arms; empty: what tells them apart")
    seeds: tuple[int, ...] = Field(
        default=(0, 1, 2),
        description="random seeds, one repeat of every arm each; three at least to estimate the noise",
    )

    def __post_init__(self) -> None:
        if len({arm.key for arm in self.arms}) < max(2, len(self.arms)):
            raise BadInput("`arms` wants at least two recipes, all different")
        if len(set(self.seeds)) < len(self.seeds) or not self.seeds:
            raise BadInput(f"`seeds` wants different seeds, got {list(self.seeds)}")
        for arm in self.arms:
            if not arm.repeatable:
                raise BadInput(f"an arm wants a recipe that can be repeated with another seed; {arm.kind!r} cannot")
            if arm.test.key != self.arms[0].test.key:
                raise BadInput("the arms have different test parts; what they reach there could not be compared")
        if self.names and len(self.names) != len(self.arms):
            raise BadInput(f"`names` wants one name an arm or none, got {len(self.names)} for {len(self.arms)} arms")
        if len(set(self.arm_names)) < len(self.arms) or not all(self.arm_names):
            raise BadInput(f"the arms want different `names`, they are called {', '.join(self.arm_names)}")
        self.parts()  # a seed that an arm refuses is refused here

    @property
    def title(self) -> str:
        return f"study of {', '.join(self.arm_names)} on {self.arms[0].train.title}, {len(self.seeds)} seeds"

    @property
    def arm_names(self) -> tuple[str, ...]:
        """The arms' names."""
        return self.names or _distinct_names([_name_parts(arm) for arm in self.arms])

    @property
    def roles(self) -> dict[str, str]:
        """Every arm by name, and whether it is one of those compared, a baseline, or the control of pre-training.

        Where there are only baselines, these are compared.
        """
        read = any(not isinstance(arm.backbone, (Untrained, Gnn, type(None))) for arm in self.arms)

        def role(arm: Spec[Fit]) -> str:
            if isinstance(arm, Baseline):
                return "baseline"
            return "control" if read and isinstance(arm.backbone, Untrained) else "selection"

        found = {name: role(arm) for name, arm in zip(self.arm_names, self.arms, strict=True)}
        return found if "selection" in found.values() else dict.fromkeys(found, "selection")

    def parts(self) -> dict[str, Any]:
        return {"fits": tuple(tuple(arm.with_seed(seed) for seed in self.seeds) for arm in self.arms)}

    def make(self, report: Report, fits: tuple[tuple[Fit | FailedPart, ...], ...]) -> Comparison:
        failed = [
            {"arm": name, "seed": seed, "reason": fit.reason}
            for name, mine in zip(self.arm_names, fits, strict=True)
            for seed, fit in zip(self.seeds, mine, strict=True)
            if isinstance(fit, FailedPart)
        ]
        made = [[None if isinstance(fit, FailedPart) else fit for fit in mine] for mine in fits]
        there = [name for name, mine in zip(self.arm_names, made, strict=True) if any(mine)]
        if len(there) < 2:
            reasons = dict.fromkeys(f"“{one['arm']}”: {one['reason']}" for one in failed)
            raise BadInput(f"{len(there)} of {len(fits)} arms could be made, two are needed; {'; '.join(reasons)}")
        roles = self.roles
        if not any(roles[name] == "selection" for name in there):  # what was to be compared has failed
            roles = dict.fromkeys(roles, "selection")
        networks = [name for name in there if roles[name] == "selection"]
        reference = networks[0]
        keys = [[spec.key for spec in mine] for mine in self.parts()["fits"]]
        record, predictions = compare_arms(roles, made, keys, self.seeds, networks)
        for arm, spec in zip(self.arm_names, self.arms, strict=True):
            for card in record["arms"]:
                if card["name"] == arm:
                    card["method"] = _name_parts(spec)[0]
        against = [row for row in record["differences"] if row["against"] == reference]
        said = write_verdict(record["arms"], against, "rmse", record["unit"], "networks", record["task_kind"])
        record |= {
            "verdict": " ".join(filter(None, (said, fewest_weights_sentence(record["arms"], record["differences"])))),
            "failed": failed,
            "notes": self.notes(made, failed, record),
        }
        return Comparison(record, predictions, pd.DataFrame(columns=PICK_COLUMNS))

    def notes(self, fits: list[list[Fit | None]], failed: list[dict[str, Any]], record: dict[str, Any]) -> list[str]:
        """What a reader has to know before believing the numbers."""
        found = [f"“{one['arm']}” with seed {one['seed']} failed: {one['reason']}" for one in failed]
        if failed:
            found.append(
                "what failed is not tried again by itself: delete the study and start it anew; the rest is kept"
            )
        first = next(fit for mine in fits for fit in mine if fit is not None)
        if len(first.tasks) > 1:
            found.append(f"differences are of the first task, {first.tasks[0]!r}")
        many = len(record["arms"]) - 1
        if many > 2:
            found.append(
                f"{many} differences stand against “{record['reference']}”, each with a 95 % interval of its own: of "
                "twenty without any substance one looks real"
            )
        return found + describe_unequal_work(self.roles, fits) + collect_warnings(self.roles, fits)


def fewest_weights_sentence(arms: Sequence[dict[str, Any]], differences: Sequence[dict[str, Any]]) -> str:
    """A sentence on the network with the fewest trainable weights of those that cannot be told from the best one."""
    networks = [arm for arm in arms if role_of(arm) == "selection" and arm["trainable"]]
    if len(networks) < 2:
        return ""
    best = min(networks, key=lambda arm: arm["rmse"]["mean"])
    level = {row["arm"] for row in differences if row["against"] == best["name"] and row["verdict"].startswith("not")}
    least = min((arm for arm in networks if arm["name"] in level | {best["name"]}), key=lambda arm: arm["trainable"])
    share = f"{100 * least['backbone_trainable'] / least['backbone_parameters']:.3g} % of the backbone"
    if least is best:
        fewer = any(arm["trainable"] < best["trainable"] for arm in networks)
        return f"None that trains fewer weights than “{best['name']}” ({share}) is level with it." if fewer else ""
    trains = f"{share} beside the head" if least["backbone_trainable"] else "the head alone"
    return f"“{least['name']}” trains {trains} and cannot be told from “{best['name']}”."


def _name_parts(arm: Spec[Fit]) -> list[str]:
    """What there is to call an arm by, the most telling first."""
    if isinstance(arm, Baseline):
        return [arm.baseline.name, f"of {arm.baseline.features}"]
    words = [arm.method.name, f"from {arm.backbone.called}"]
    return [*words, "tuned"] if arm.kind == "learning-rate-search" else words


def _distinct_names(words: Sequence[list[str]]) -> tuple[str, ...]:
    """Names of as few words as tell the arms apart; a number where none does."""
    for count in range(1, max(map(len, words)) + 1):
        names = [", ".join(mine[:count]) for mine in words]
        if len(set(names)) == len(names):
            return tuple(names)
    return tuple(f"{name} ({names[: place + 1].count(name)})" for place, name in enumerate(names))
