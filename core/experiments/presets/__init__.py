"""Presets: specs with a name, for one click or one command."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from core.data.dataset import Dataset
from core.engine.spec import BadInput, Spec
from core.experiments.data.label_noise import LabelNoise
from core.experiments.data.load import Load
from core.experiments.data.split import split_table
from core.experiments.influence.influence import Influence
from core.experiments.influence.lds import LDS
from core.experiments.multitask.mixture_study import MixtureStudy
from core.experiments.presets import mixtures
from core.experiments.studies.selection import SelectionStudy
from core.experiments.studies.study import Study
from core.experiments.training.adapt import Adapt
from core.experiments.training.baseline import Baseline
from core.experiments.training.finetune import FineTune
from core.experiments.training.lr_search import LearningRateSearch
from core.models.backbones import Pretrained
from core.models.methods import IA3, BitFit, Full, Head, LoRA
from core.results.fit import PARTS, Fit

RETRAINING_STEPS = 300  # of a training that is repeated for each random half of a pool
NOISY_STEPS = 150  # of the demo tables in studies of selection: after 60 steps most swapped labels are not learned yet


def demo(seed: int = 0, table: Spec[Dataset] | None = None) -> SelectionStudy:
    """The full workflow in minutes on two cores, on measured solubilities that are part of the installation.

    300 training molecules, 200 for validation, a pool of 300 of which a fifth is mislabelled on purpose, the rest for
    the test. Eighteen trainings of sixty steps from `molsway-mini`. The baseline, support vectors on descriptors, takes
    seconds.
    """
    if table is not None:
        raise BadInput("the demo has its own table; leave --table out, or choose another preset")
    fit, pool = _demo_tables(seed)
    return SelectionStudy(fit=fit, pool=pool, count=100, seeds=(100 * seed, 100 * seed + 1, 100 * seed + 2))


def _demo_tables(seed: int) -> tuple[FineTune, Spec[Dataset]]:
    train, valid, test, pool = split_table(
        Load("bundled:solubility"), by="random", seed=seed, train=300, valid=200, pool=300, test=None
    )
    fit = FineTune(
        train,
        valid,
        test,
        backbone=Pretrained("molsway-mini").with_digests(),
        steps=60,
        evaluations=4,
        batch_size=32,
        seed=100 * seed,
    )
    return fit, LabelNoise(pool, fraction=0.2, seed=seed)


COMMON_METHODS = (Full(), LoRA(), IA3(), BitFit())


def build_method_arms(
    fit: FineTune, methods: Sequence[Any], tuned: bool = True, adapted: bool = False, baselines: Sequence[Any] = ()
) -> tuple[Spec[Fit], ...]:
    """Arms of a study: a fine-tuning by each method, and baselines.

    `tuned`: with a learning-rate search on the validation set. `adapted`: every fine-tuning twice, from the backbone
    and from the backbone adapted to the training molecules.
    """
    backbones = [fit.backbone]
    if adapted:
        backbones.append(Adapt(fit.train, leave_out=fit.test, backbone=fit.backbone))
    networks = [dataclasses.replace(fit, method=method, backbone=start) for start in backbones for method in methods]
    tables = {name: getattr(fit, name) for name in PARTS}
    return (
        *(LearningRateSearch(network) if tuned else network for network in networks),
        *(Baseline(**tables, baseline=baseline) for baseline in baselines),
    )


def methods(seed: int = 0, table: Spec[Dataset] | None = None) -> Study:
    """Full fine-tuning, LoRA (rank 8), (IA)³, BitFit and the head alone; three seeds, tuned learning rates."""
    return Study(build_method_arms(_default_fit(seed, table), (*COMMON_METHODS, Head())))


def four_methods(seed: int = 0, table: Spec[Dataset] | None = None) -> Study:
    """Full fine-tuning, LoRA (rank 8), (IA)³ and BitFit; three seeds, tuned learning rates."""
    return Study(build_method_arms(_default_fit(seed, table), COMMON_METHODS))


def adaptation(seed: int = 0, table: Spec[Dataset] | None = None) -> Study:
    """Whether continued pre-training on the training molecules lowers the error of full fine-tuning and of LoRA."""
    return Study(build_method_arms(_default_fit(seed, table), (Full(), LoRA()), tuned=False, adapted=True))


def objectives(seed: int = 0, table: Spec[Dataset] | None = None) -> Study:
    """Continued pre-training by masked tokens, computed properties (arXiv:2503.03360), both, or not at all."""
    fit = _default_fit(seed, table)
    adapted = [
        Adapt(fit.train, leave_out=fit.test, backbone=fit.backbone, objective=objective)
        for objective in ("masked tokens", "properties", "both")
    ]
    arms = (fit, *(dataclasses.replace(fit, backbone=one) for one in adapted))
    return Study(arms, names=("not adapted", "by masked tokens", "by properties", "by both"))


def _default_fit(seed: int, table: Spec[Dataset] | None) -> FineTune:
    """A fine-tuning with the defaults; a tenth of the table for validation, a tenth for the test."""
    rows = split_table(table or Load("bundled:solubility"), by="random", seed=seed, train=None, valid=0.1, test=0.1)
    return FineTune(*rows, backbone=Pretrained("molsway-mini").with_digests())


def influence(seed: int = 0, table: Spec[Dataset] | None = None, pool: Spec[Dataset] | None = None) -> LDS:
    """Influence scores of a pool, checked by retraining with 32 random halves of it.

    Without --table the demo's scores; without --pool a fifth of the table.
    """
    fit, pool = _fit_and_pool(seed, table, pool)
    return LDS.of(Influence(fit, pool, fit.valid), seed=seed)


def selection(seed: int = 0, table: Spec[Dataset] | None = None, pool: Spec[Dataset] | None = None) -> SelectionStudy:
    """Six strategies to select a hundred molecules of a pool, three seeds: the demo's study, on your tables."""
    fit, pool = _fit_and_pool(seed, table, pool)
    return SelectionStudy(fit=fit, pool=pool, count=100, seeds=(100 * seed, 100 * seed + 1, 100 * seed + 2))


def selection_sizes(
    seed: int = 0, table: Spec[Dataset] | None = None, pool: Spec[Dataset] | None = None
) -> SelectionStudy:
    """Test error by how many pool molecules are added (20, 50, 70, 100): best, worst, random or greedily selected.

    Best and worst are by influence on the validation loss. None and all of the pool for comparison; five seeds.
    """
    fit, pool = _fit_and_pool(seed, table, pool, steps=NOISY_STEPS)
    arms = ("none", "all", "random", "top", "bottom", "greedy")
    seeds = tuple(100 * seed + number for number in range(5))
    return SelectionStudy(fit=fit, pool=pool, count=20, counts=(50, 70, 100), arms=arms, seeds=seeds)


def diversity(seed: int = 0, table: Spec[Dataset] | None = None, pool: Spec[Dataset] | None = None) -> SelectionStudy:
    """A hundred pool molecules from five structural clusters against a hundred stratified by label; ten seeds.

    A hundred random ones and none for comparison; the same pool and the same test molecules.
    """
    fit, pool = _fit_and_pool(seed, table, pool, steps=NOISY_STEPS)
    arms = ("stratified", "kmeans", "random", "none")
    seeds = tuple(100 * seed + number for number in range(10))
    return SelectionStudy(fit=fit, pool=pool, count=100, arms=arms, seeds=seeds)


def _fit_and_pool(
    seed: int, table: Spec[Dataset] | None, pool: Spec[Dataset] | None, steps: int = 60
) -> tuple[FineTune, Spec[Dataset]]:
    """A short fine-tuning and a pool; without tables those of the demo, with this number of steps."""
    if table is None and pool is None:
        fit, pool = _demo_tables(seed)
        return dataclasses.replace(fit, steps=steps), pool
    if table is None:
        raise BadInput("a pool needs the table that it would be added to; give it with --table")
    sizes = {"train": None, "valid": 0.1, "test": 0.1} | ({"pool": 0.2} if pool is None else {})
    train, valid, test, *rest = split_table(table, by="random", seed=seed, **sizes)
    backbone = Pretrained("molsway-mini").with_digests()
    fit = FineTune(train, valid, test, backbone=backbone, steps=RETRAINING_STEPS, evaluations=6, seed=100 * seed)
    return fit, pool or rest[0]


def mixture(seed: int = 0) -> MixtureStudy:
    """Multitask training on three bundled tables against single-table training; minutes on two cores."""
    return mixtures.demo(seed)


def toymix(seed: int = 0, data: str = "") -> MixtureStudy:
    """ToyMix (QM9, Tox21, ZINC12k) with GCN, GIN and GINE: multitask against single-table training; takes hours."""
    if not data:
        raise BadInput(f"toymix needs --data, a folder with its files; download them from {mixtures.TOYMIX_ADDRESS}")
    return mixtures.toymix_study(data, seed)


def largemix(seed: int = 0, data: str = "") -> Spec:
    """A multitask model of LargeMix and UltraLarge: ten thousand molecules of each table with a file in --data."""
    if not data:
        raise BadInput("largemix needs --data, a folder with files of LargeMix or UltraLarge")
    return mixtures.largemix_model(data, seed)


def transfer(seed: int = 0, table: Spec[Dataset] | None = None, data: str = "") -> Spec:
    """Transfer from backbones trained on ToyMix to your table, by its number of training molecules; random split."""
    return mixtures.transfer_study(*_require_table_and_data(table, data, "transfer"), "random", seed)


def transfer_scaffold(seed: int = 0, table: Spec[Dataset] | None = None, data: str = "") -> Spec:
    """The same as `transfer`, with a scaffold split."""
    return mixtures.transfer_study(*_require_table_and_data(table, data, "transfer-scaffold"), "scaffold", seed)


def variety(seed: int = 0, table: Spec[Dataset] | None = None, data: str = "") -> Spec:
    """Whether more tables or more molecules in training on ToyMix lower the error on your table."""
    return mixtures.table_ablation(*_require_table_and_data(table, data, "variety"), seed)


def _require_table_and_data(table: Spec[Dataset] | None, data: str, name: str) -> tuple[Spec[Dataset], str]:
    if table is None or not data:
        raise BadInput(f"{name} needs --table, the small table, and --data, a folder with the files of ToyMix")
    return table, data


PRESETS: dict[str, Callable[..., Spec]] = {
    "demo": demo,
    "influence": influence,
    "selection": selection,
    "methods": methods,
    "four-methods": four_methods,
    "selection-sizes": selection_sizes,
    "diversity": diversity,
    "adaptation": adaptation,
    "objectives": objectives,
    "mixture": mixture,
    "toymix": toymix,
    "largemix": largemix,
    "transfer": transfer,
    "transfer-scaffold": transfer_scaffold,
    "variety": variety,
}

RENAMED = {"report": "four-methods", "report-selection": "selection-sizes", "report-diversity": "diversity"}
TAKES_POOL = (influence, selection, selection_sizes, diversity)  # accept --pool
READS_FILES = (toymix, largemix, transfer, transfer_scaffold, variety)  # need --data
HAS_OWN_TABLES = (mixture, toymix, largemix)  # accept no --table


def build_preset(
    name: str,
    seed: int = 0,
    table: Spec[Dataset] | None = None,
    pool: Spec[Dataset] | None = None,
    data: str = "",
) -> Spec:
    """The spec of a preset, on your tables where it accepts them. Raises `BadInput`."""
    if name in RENAMED:
        raise BadInput(f"the preset {name!r} is now called {RENAMED[name]!r}")
    if name not in PRESETS:
        raise BadInput(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    if pool is not None and PRESETS[name] not in TAKES_POOL:
        names = ", ".join(one for one, build in PRESETS.items() if build in TAKES_POOL)
        raise BadInput(f"the preset {name!r} accepts no pool; leave --pool out, or choose {names}")
    if data and PRESETS[name] not in READS_FILES:
        names = ", ".join(one for one, build in PRESETS.items() if build in READS_FILES)
        raise BadInput(f"the preset {name!r} reads no folder of files; leave --data out, or choose {names}")
    if table is not None and PRESETS[name] in HAS_OWN_TABLES:
        raise BadInput(f"the preset {name!r} has its own tables; leave --table out, or change its spec")
    arguments = {"table": table, "pool": pool, "data": data or None}
    return PRESETS[name](seed, **{what: one for what, one in arguments.items() if one is not None})


def describe_preset(name: str) -> str:
    """One sentence about a preset: the first line of its docstring."""
    return (PRESETS[name].__doc__ or "").strip().splitlines()[0]
