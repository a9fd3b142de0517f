"""What can be asked for: one file a kind of work, its recipe and how it is made."""

from core.experiments.ablation import Ablation
from core.experiments.adapt import Adapt
from core.experiments.audit import Audit, Mend, beside_parts
from core.experiments.baseline import Baseline
from core.experiments.computed import Computed
from core.experiments.ensemble import Ensemble
from core.experiments.excerpt import Excerpt
from core.experiments.few import Few
from core.experiments.finetune import FineTune
from core.experiments.gather import Gather
from core.experiments.influence import Influence
from core.experiments.join import Join
from core.experiments.landscape import Landscape
from core.experiments.load import Load, settled
from core.experiments.mean_influence import MeanInfluence
from core.experiments.member import Member, mixture
from core.experiments.mixture_study import MixtureStudy
from core.experiments.molecules import Molecules
from core.experiments.multitask import Multitask
from core.experiments.part import Part, parts
from core.experiments.plant import Plant
from core.experiments.predict import Predict
from core.experiments.presets import PRESETS, of_methods, preset
from core.experiments.pretrain import Pretrain
from core.experiments.represent import Represent
from core.experiments.retrain import Retrain
from core.experiments.select import Select
from core.experiments.selection_study import SelectionStudy
from core.experiments.study import Study
from core.experiments.suspects import Suspects
from core.experiments.transfer import Transfer
from core.experiments.trunk_head import TrunkHead
from core.experiments.tune import Tune
from core.experiments.verify import Verify

__all__ = [
    "PRESETS",
    "Ablation",
    "Adapt",
    "Audit",
    "Baseline",
    "Computed",
    "Ensemble",
    "Excerpt",
    "Few",
    "FineTune",
    "Gather",
    "Influence",
    "Join",
    "Landscape",
    "Load",
    "MeanInfluence",
    "Member",
    "Mend",
    "MixtureStudy",
    "Molecules",
    "Multitask",
    "Part",
    "Plant",
    "Predict",
    "Pretrain",
    "Represent",
    "Retrain",
    "Select",
    "SelectionStudy",
    "Study",
    "Suspects",
    "Transfer",
    "TrunkHead",
    "Tune",
    "Verify",
    "beside_parts",
    "mixture",
    "of_methods",
    "parts",
    "preset",
    "settled",
]
