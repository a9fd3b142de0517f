"""Recipes with a name: what one click, or one word on the command line, stands for."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from core.backbones import Pretrained
from core.data import Dataset
from core.experiments.adapt import Adapt
from core.experiments.baseline import Baseline
from core.experiments.finetune import FineTune
from core.experiments.load import Load
from core.experiments.part import parts
from core.experiments.plant import Plant
from core.experiments.selection_study import SelectionStudy
from core.experiments.study import Study
from core.experiments.tune import Tune
from core.fits import PARTS, Fit
from core.methods import IA3, BitFit, Full, Head, LoRA
from core.spec import BadInput, Spec


def demo(seed: int = 0, table: Spec[Dataset] | None = None) -> SelectionStudy:
    """The whole route in minutes on two cores, on measured solubilities that come with the installation.

    300 molecules to learn from, 200 to choose by, a pool of 300 in which every fifth label is another molecule's, the
    rest to report. Eighteen trainings of sixty steps from `molsway-mini`; support vectors on descriptors, the
    baseline of every study, cost seconds.
    """
    if table is not None:
        raise BadInput("the demo has a table of its own; leave --table out, or take another preset")
    train, valid, test, pool = parts(
        Load("bundled:solubility"), by="random", seed=seed, train=300, valid=200, pool=300, test=None
    )
    fit = FineTune(
        train,
        valid,
        test,
        backbone=Pretrained("molsway-mini").settled(),
        steps=60,
        evaluations=4,
        batch_size=32,
        seed=100 * seed,
    )
    seeds = (100 * seed, 100 * seed + 1, 100 * seed + 2)
    return SelectionStudy(fit=fit, pool=Plant(pool, fraction=0.2, seed=seed), count=100, seeds=seeds)


REPORT = (Full(), LoRA(), IA3(), BitFit())  # what the report that this project began with compared


def of_methods(
    fit: FineTune, methods: Sequence[Any], tuned: bool = True, adapted: bool = False, learners: Sequence[Any] = ()
) -> tuple[Spec[Fit], ...]:
    """Arms of a study: a fine-tuning by each method, and baselines.

    `tuned`: the learning rate of each is found on the validation part. `adapted`: every network twice, from the
    backbone as it is and adapted to the training molecules first.
    """
    starts = [fit.backbone]
    if adapted:
        starts.append(Adapt(fit.train, leave_out=fit.test, backbone=fit.backbone))
    networks = [dataclasses.replace(fit, method=method, backbone=start) for start in starts for method in methods]
    tables = {name: getattr(fit, name) for name in PARTS}
    return (
        *(Tune(network) if tuned else network for network in networks),
        *(Baseline(**tables, learner=learner) for learner in learners),
    )


def methods(seed: int = 0, table: Spec[Dataset] | None = None) -> Study:
    """The report's four methods and, beside them, the head alone, which is what its (IA)³ really was."""
    return Study(of_methods(_fit(seed, table), (*REPORT, Head())))


def report(seed: int = 0, table: Spec[Dataset] | None = None) -> Study:
    """The report's comparison: full, LoRA of rank 8 on query, key, value and attention output, (IA)³, BitFit."""
    return Study(of_methods(_fit(seed, table), REPORT))


def adaptation(seed: int = 0, table: Spec[Dataset] | None = None) -> Study:
    """Whether adapting the backbone to the training molecules first helps, for all weights and for LoRA."""
    return Study(of_methods(_fit(seed, table), (Full(), LoRA()), tuned=False, adapted=True))


def _fit(seed: int, table: Spec[Dataset] | None) -> FineTune:
    """A fine-tuning with all advice on a tenth for validation, a tenth for the test."""
    rows = parts(table or Load("bundled:solubility"), by="random", seed=seed, train=None, valid=0.1, test=0.1)
    return FineTune(*rows, backbone=Pretrained("molsway-mini").settled())


PRESETS: dict[str, Callable[..., Spec]] = {
    "demo": demo,
    "methods": methods,
    "report": report,
    "adaptation": adaptation,
}


def preset(name: str, seed: int = 0, table: Spec[Dataset] | None = None) -> Spec:
    """The recipe that a name stands for, on a table of one's own where it is not the demo. Raises `BadInput`."""
    if name not in PRESETS:
        raise BadInput(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name](seed) if table is None else PRESETS[name](seed, table)
