"""Recipes with a name: what one click, or one word on the command line, stands for."""

from collections.abc import Callable

from core.backbones import Pretrained
from core.experiments.finetune import FineTune
from core.experiments.load import Load
from core.experiments.part import parts
from core.experiments.plant import Plant
from core.experiments.selection_study import SelectionStudy
from core.spec import BadInput, Spec


def demo(seed: int = 0) -> SelectionStudy:
    """The whole route in minutes on two cores, on measured solubilities that come with the installation.

    300 molecules to learn from, 200 to choose by, a pool of 300 in which every fifth label is another molecule's, the
    rest to report. Eighteen trainings of sixty steps from `molsway-mini`; support vectors on descriptors, the
    baseline of every study, cost seconds.
    """
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


PRESETS: dict[str, Callable[[int], Spec]] = {"demo": demo}


def preset(name: str, seed: int = 0) -> Spec:
    """The recipe that a name stands for. Raises `BadInput` for an unknown name."""
    if name not in PRESETS:
        raise BadInput(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name](seed)
