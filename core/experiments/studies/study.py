"""Study: models compared on the same test molecules, each trained with every seed."""

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

    The first arm is the reference. A seed sets everything random (head, batches, dropout, random weights, an
    adaptation) but not the split. An arm that fails is left out with its reason; the others continue. Every training is
    saved as soon as it is done, so an interrupted study resumes.
    """

    kind: ClassVar[str] = "study"
    page: ClassVar[str] = "methods"
    tolerant: ClassVar[bool] = True

    arms: tuple[Spec[Fit], ...] = Field(description="models to compare, the reference first")
    names: tuple[str, ...] = Field(
        default=(), description="names of the arms; empty: the settings in which they differ"
    )
    seeds: tuple[int, ...] = Field(
        default=(0, 1, 2),
        description="random seeds, one repeat of every arm each; three at least to estimate the noise",
    )

    def __post_init__(self) -> None:
        if len({arm.key for arm in self.arms}) < max(2, len(self.arms)):
            raise BadInput("`arms` wants at least two specs, all different")
        if len(set(self.seeds)) < len(self.seeds) or not self.seeds:
            raise BadInput(f"`seeds` wants different seeds, got {list(self.seeds)}")
        for arm in self.arms:
            if not arm.repeatable:
                raise BadInput(f"an arm has to be a spec that can be repeated with another seed; {arm.kind!r} cannot")
            if arm.test.key != self.arms[0].test.key:
                raise BadInput(
                    "the arms have different test sets, so their errors cannot be compared; give all the same"
                )
        if self.names and len(self.names) != len(self.arms):
            raise BadInput(f"`names` wants one name per arm or none, got {len(self.names)} for {len(self.arms)} arms")
        if len(set(self.arm_names)) < len(self.arms) or not all(self.arm_names):
            raise BadInput(f"the arms need different `names`, got {', '.join(self.arm_names)}")
        self.parts()  # raises for a seed that an arm refuses

    @property
    def title(self) -> str:
        return f"study of {', '.join(self.arm_names)} on {self.arms[0].train.title}, {len(self.seeds)} seeds"

    @property
    def arm_names(self) -> tuple[str, ...]:
        """The arms' names."""
        return self.names or _distinct_names([_name_parts(arm) for arm in self.arms])

    @property
    def roles(self) -> dict[str, str]:
        """The role of every arm by name: selection (compared), baseline, or control of pre-training.

        If all arms are baselines, these are compared.
        """
        any_pretrained = any(not isinstance(arm.backbone, (Untrained, Gnn, type(None))) for arm in self.arms)

        def role(arm: Spec[Fit]) -> str:
            if isinstance(arm, Baseline):
                return "baseline"
            return "control" if any_pretrained and isinstance(arm.backbone, Untrained) else "selection"

        roles = {name: role(arm) for name, arm in zip(self.arm_names, self.arms, strict=True)}
        return roles if "selection" in roles.values() else dict.fromkeys(roles, "selection")

    def parts(self) -> dict[str, Any]:
        return {"fits": tuple(tuple(arm.with_seed(seed) for seed in self.seeds) for arm in self.arms)}

    def make(self, report: Report, fits: tuple[tuple[Fit | FailedPart, ...], ...]) -> Comparison:
        failed = [
            {"arm": name, "seed": seed, "reason": fit.reason}
            for name, arm_fits in zip(self.arm_names, fits, strict=True)
            for seed, fit in zip(self.seeds, arm_fits, strict=True)
            if isinstance(fit, FailedPart)
        ]
        models = [[None if isinstance(fit, FailedPart) else fit for fit in arm_fits] for arm_fits in fits]
        present = [name for name, arm_fits in zip(self.arm_names, models, strict=True) if any(arm_fits)]
        if len(present) < 2:
            reasons = dict.fromkeys(f"“{failure['arm']}”: {failure['reason']}" for failure in failed)
            raise BadInput(f"{len(present)} of {len(fits)} arms were trained, two are needed; {'; '.join(reasons)}")
        roles = self.roles
        if not any(roles[name] == "selection" for name in present):  # all arms that were to be compared have failed
            roles = dict.fromkeys(roles, "selection")
        networks = [name for name in present if roles[name] == "selection"]
        reference = networks[0]
        keys = [[spec.key for spec in arm_fits] for arm_fits in self.parts()["fits"]]
        record, predictions = compare_arms(roles, models, keys, self.seeds, networks)
        for arm, spec in zip(self.arm_names, self.arms, strict=True):
            for card in record["arms"]:
                if card["name"] == arm:
                    card["method"] = _name_parts(spec)[0]
        against = [row for row in record["differences"] if row["against"] == reference]
        comparison = write_verdict(record["arms"], against, "rmse", record["unit"], "networks", record["task_kind"])
        record |= {
            "verdict": " ".join(
                filter(None, (comparison, fewest_weights_sentence(record["arms"], record["differences"])))
            ),
            "failed": failed,
            "notes": self.collect_notes(models, failed, record),
        }
        return Comparison(record, predictions, pd.DataFrame(columns=PICK_COLUMNS))

    def collect_notes(
        self, fits: list[list[Fit | None]], failed: list[dict[str, Any]], record: dict[str, Any]
    ) -> list[str]:
        """Warnings about the comparison."""
        notes = [f"“{failure['arm']}” with seed {failure['seed']} failed: {failure['reason']}" for failure in failed]
        if failed:
            notes.append(
                "failed trainings are not repeated automatically: delete the study and start it again; "
                "finished ones are reused"
            )
        first = next(fit for arm_fits in fits for fit in arm_fits if fit is not None)
        if len(first.tasks) > 1:
            notes.append(f"differences are for the first task, {first.tasks[0]!r}")
        n_differences = len(record["arms"]) - 1
        if n_differences > 2:
            notes.append(
                f"{n_differences} differences from “{record['reference']}” are shown, each with a 95 % interval: "
                "without any true difference, one in twenty excludes zero by chance"
            )
        return notes + describe_unequal_work(self.roles, fits) + collect_warnings(self.roles, fits)


def fewest_weights_sentence(arms: Sequence[dict[str, Any]], differences: Sequence[dict[str, Any]]) -> str:
    """A sentence on the network with the fewest trainable weights that is not distinguishable from the best one."""
    networks = [arm for arm in arms if role_of(arm) == "selection" and arm["trainable"]]
    if len(networks) < 2:
        return ""
    best = min(networks, key=lambda arm: arm["rmse"]["mean"])
    if any(row["verdict"].startswith("one seed") for row in differences):  # noise unknown: nothing is on par
        return ""
    level = {row["arm"] for row in differences if row["against"] == best["name"] and row["verdict"].startswith("not")}
    least = min((arm for arm in networks if arm["name"] in level | {best["name"]}), key=lambda arm: arm["trainable"])
    share = f"{100 * least['backbone_trainable'] / least['backbone_parameters']:.3g} % of the backbone"
    if least is best:
        fewer = any(arm["trainable"] < best["trainable"] for arm in networks)
        return f"No network with fewer trainable weights is on par with “{best['name']}” ({share})." if fewer else ""
    trains = f"{share} and the head" if least["backbone_trainable"] else "only the head"
    return f"“{least['name']}” trains {trains} and is not distinguishable from “{best['name']}”."


def _name_parts(arm: Spec[Fit]) -> list[str]:
    """Parts of an arm's name, the most informative first."""
    if isinstance(arm, Baseline):
        return [arm.baseline.name, f"of {arm.baseline.features}"]
    words = [arm.method.name, f"from {arm.backbone.called}"]
    return [*words, "tuned"] if arm.kind == "learning-rate-search" else words


def _distinct_names(words: Sequence[list[str]]) -> tuple[str, ...]:
    """Names with as few parts as distinguish the arms; numbered if none do."""
    for count in range(1, max(map(len, words)) + 1):
        names = [", ".join(arm_words[:count]) for arm_words in words]
        if len(set(names)) == len(names):
            return tuple(names)
    return tuple(f"{name} ({names[: index + 1].count(name)})" for index, name in enumerate(names))
