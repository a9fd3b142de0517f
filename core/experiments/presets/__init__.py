"""Recipes with a name: what one click, or one word on the command line, stands for."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from core.data.dataset import Dataset
from core.engine.spec import BadInput, Spec
from core.experiments.data.label_noise import Plant
from core.experiments.data.load import Load
from core.experiments.data.split import parts
from core.experiments.influence.influence import Influence
from core.experiments.influence.lds import Verify
from core.experiments.multitask.together_vs_alone import MixtureStudy
from core.experiments.presets import mixtures
from core.experiments.studies.selection import SelectionStudy
from core.experiments.studies.study import Study
from core.experiments.training.adapt import Adapt
from core.experiments.training.baseline import Baseline
from core.experiments.training.finetune import FineTune
from core.experiments.training.lr_search import Tune
from core.models.backbones import Pretrained
from core.models.methods import IA3, BitFit, Full, Head, LoRA
from core.results.fit import PARTS, Fit

STEPS = 300  # of a training that is repeated for each half of a pool
LONGER = 150  # of the demo's, where wrong labels are to be felt: sixty leave most of them unlearned


def demo(seed: int = 0, table: Spec[Dataset] | None = None) -> SelectionStudy:
    """The whole route in minutes on two cores, on measured solubilities that come with the installation.

    300 molecules to learn from, 200 to choose by, a pool of 300 in which every fifth label is another molecule's, the
    rest to report. Eighteen trainings of sixty steps from `molsway-mini`; support vectors on descriptors, the
    baseline of every study, cost seconds.
    """
    if table is not None:
        raise BadInput("the demo has a table of its own; leave --table out, or take another preset")
    fit, pool = _demo(seed)
    return SelectionStudy(fit=fit, pool=pool, count=100, seeds=(100 * seed, 100 * seed + 1, 100 * seed + 2))


def _demo(seed: int) -> tuple[FineTune, Spec[Dataset]]:
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
    return fit, Plant(pool, fraction=0.2, seed=seed)


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


def objectives(seed: int = 0, table: Spec[Dataset] | None = None) -> Study:
    """What to adapt by, for as long: hidden tokens, computed properties (arXiv 2503.03360), both, or not at all."""
    fit = _fit(seed, table)
    adapted = [
        Adapt(fit.train, leave_out=fit.test, backbone=fit.backbone, objective=objective)
        for objective in ("masked tokens", "properties", "both")
    ]
    arms = (fit, *(dataclasses.replace(fit, backbone=one) for one in adapted))
    return Study(arms, names=("not adapted", "by masked tokens", "by properties", "by both"))


def _fit(seed: int, table: Spec[Dataset] | None) -> FineTune:
    """A fine-tuning with all advice on a tenth for validation, a tenth for the test."""
    rows = parts(table or Load("bundled:solubility"), by="random", seed=seed, train=None, valid=0.1, test=0.1)
    return FineTune(*rows, backbone=Pretrained("molsway-mini").settled())


def influence(seed: int = 0, table: Spec[Dataset] | None = None, pool: Spec[Dataset] | None = None) -> Verify:
    """Which molecules of a pool would help, which would hurt, and whether that foretells retraining: 32 random halves.

    Without a table of one's own the demo's scores; without a pool of one's own a fifth of the table.
    """
    fit, pool = _beside(seed, table, pool)
    return Verify.of(Influence(fit, pool, fit.valid), seed=seed)


def selection(seed: int = 0, table: Spec[Dataset] | None = None, pool: Spec[Dataset] | None = None) -> SelectionStudy:
    """Six ways to keep a hundred molecules of a pool, three seeds: the demo's study, on tables of one's own."""
    fit, pool = _beside(seed, table, pool)
    return SelectionStudy(fit=fit, pool=pool, count=100, seeds=(100 * seed, 100 * seed + 1, 100 * seed + 2))


def report_selection(
    seed: int = 0, table: Spec[Dataset] | None = None, pool: Spec[Dataset] | None = None
) -> SelectionStudy:
    """The report's figures 3 and 4: 20, 50, 70 and 100 of the best and of the worst by influence, and none.

    Beside them what it had not: as many random ones, as many chosen greedily, all of the pool, and five seeds.
    """
    fit, pool = _beside(seed, table, pool, steps=LONGER)
    arms = ("none", "all", "random", "top", "bottom", "greedy")
    seeds = tuple(100 * seed + number for number in range(5))
    return SelectionStudy(fit=fit, pool=pool, count=20, counts=(50, 70, 100), arms=arms, seeds=seeds)


def report_diversity(
    seed: int = 0, table: Spec[Dataset] | None = None, pool: Spec[Dataset] | None = None
) -> SelectionStudy:
    """The report's figure 5: a hundred molecules of five clusters against a hundred of low, medium and high labels.

    Beside them a hundred random ones and none; ten seeds, the same pool and the same test molecules.
    """
    fit, pool = _beside(seed, table, pool, steps=LONGER)
    arms = ("stratified", "kmeans", "random", "none")
    seeds = tuple(100 * seed + number for number in range(10))
    return SelectionStudy(fit=fit, pool=pool, count=100, arms=arms, seeds=seeds)


def _beside(
    seed: int, table: Spec[Dataset] | None, pool: Spec[Dataset] | None, steps: int = 60
) -> tuple[FineTune, Spec[Dataset]]:
    """A short fine-tuning and the pool beside it: the demo's, of so many `steps`, without tables of one's own."""
    if table is None and pool is None:
        fit, pool = _demo(seed)
        return dataclasses.replace(fit, steps=steps), pool
    if table is None:
        raise BadInput("a pool wants the table that it is to join; name that with --table")
    sizes = {"train": None, "valid": 0.1, "test": 0.1} | ({"pool": 0.2} if pool is None else {})
    train, valid, test, *rest = parts(table, by="random", seed=seed, **sizes)
    backbone = Pretrained("molsway-mini").settled()
    fit = FineTune(train, valid, test, backbone=backbone, steps=STEPS, evaluations=6, seed=100 * seed)
    return fit, pool or rest[0]


def mixture(seed: int = 0) -> MixtureStudy:
    """Three tables that come with the installation, together and each alone: minutes on two cores."""
    return mixtures.demo(seed)


def toymix(seed: int = 0, data: str = "") -> MixtureStudy:
    """ToyMix (QM9, Tox21, ZINC12k) by GCN, GIN and GINE, together and each table alone; hours on two cores."""
    if not data:
        raise BadInput(f"toymix wants --data, a folder with its files; they lie at {mixtures.ADDRESS}")
    return mixtures.of_toymix(data, seed)


def largemix(seed: int = 0, data: str = "") -> Spec:
    """A trunk of LargeMix and UltraLarge: ten thousand molecules of each table whose files are in the folder."""
    if not data:
        raise BadInput("largemix wants --data, a folder with files of LargeMix or UltraLarge")
    return mixtures.of_large(data, seed)


def transfer(seed: int = 0, table: Spec[Dataset] | None = None, data: str = "") -> Spec:
    """What trunks of ToyMix are worth for a table of yours, by how much of it is measured; random split."""
    return mixtures.of_transfer(*_for_table(table, data, "transfer"), "random", seed)


def transfer_scaffold(seed: int = 0, table: Spec[Dataset] | None = None, data: str = "") -> Spec:
    """The same with scaffolds kept whole, by the same trunks."""
    return mixtures.of_transfer(*_for_table(table, data, "transfer-scaffold"), "scaffold", seed)


def variety(seed: int = 0, table: Spec[Dataset] | None = None, data: str = "") -> Spec:
    """Whether a table of yours gains by more kinds of table in a trunk of ToyMix, or by more molecules."""
    return mixtures.of_variety(*_for_table(table, data, "variety"), seed)


def _for_table(table: Spec[Dataset] | None, data: str, name: str) -> tuple[Spec[Dataset], str]:
    if table is None or not data:
        raise BadInput(f"{name} wants --table, the small table, and --data, a folder with the files of ToyMix")
    return table, data


PRESETS: dict[str, Callable[..., Spec]] = {
    "demo": demo,
    "influence": influence,
    "selection": selection,
    "methods": methods,
    "report": report,
    "report-selection": report_selection,
    "report-diversity": report_diversity,
    "adaptation": adaptation,
    "objectives": objectives,
    "mixture": mixture,
    "toymix": toymix,
    "largemix": largemix,
    "transfer": transfer,
    "transfer-scaffold": transfer_scaffold,
    "variety": variety,
}

POOLED = (influence, selection, report_selection, report_diversity)  # those that take a pool of one's own


OF_FILES = (toymix, largemix, transfer, transfer_scaffold, variety)  # those that take a folder of files
OWN = (mixture, toymix, largemix)  # those whose tables are not to be chosen


def preset(
    name: str,
    seed: int = 0,
    table: Spec[Dataset] | None = None,
    pool: Spec[Dataset] | None = None,
    data: str = "",
) -> Spec:
    """The recipe that a name stands for, on tables of one's own where it takes them. Raises `BadInput`."""
    if name not in PRESETS:
        raise BadInput(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    if pool is not None and PRESETS[name] not in POOLED:
        able = ", ".join(one for one, does in PRESETS.items() if does in POOLED)
        raise BadInput(f"the preset {name!r} has no pool of yours; leave --pool out, or take {able}")
    if data and PRESETS[name] not in OF_FILES:
        able = ", ".join(one for one, does in PRESETS.items() if does in OF_FILES)
        raise BadInput(f"the preset {name!r} reads no folder of files; leave --data out, or take {able}")
    if table is not None and PRESETS[name] in OWN:
        raise BadInput(f"the preset {name!r} has tables of its own; leave --table out, or change its recipe")
    given = {"table": table, "pool": pool, "data": data or None}
    return PRESETS[name](seed, **{what: one for what, one in given.items() if one is not None})
