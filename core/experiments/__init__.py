"""What can be asked for: one file a kind of work, its recipe and how it is made."""

from core.experiments.data.audit import Audit, Mend, beside_parts
from core.experiments.data.computed_labels import Computed
from core.experiments.data.concat import Join
from core.experiments.data.file_sample import Excerpt
from core.experiments.data.label_noise import Plant
from core.experiments.data.load import Load, settled
from core.experiments.data.map import Landscape
from core.experiments.data.molecules import Molecules
from core.experiments.data.select import Select
from core.experiments.data.split import Part, parts
from core.experiments.data.subsample import Few
from core.experiments.inference.predict import Predict
from core.experiments.influence.influence import Influence
from core.experiments.influence.label_errors import Suspects
from core.experiments.influence.lds import Verify
from core.experiments.influence.seed_average import MeanInfluence
from core.experiments.influence.subset_retraining import Retrain
from core.experiments.multitask.ablation import Ablation
from core.experiments.multitask.member import Member, mixture
from core.experiments.multitask.representation import Represent
from core.experiments.multitask.together_vs_alone import MixtureStudy
from core.experiments.multitask.train import Multitask
from core.experiments.multitask.transfer import Transfer
from core.experiments.multitask.trunk_head import TrunkHead
from core.experiments.presets import PRESETS, of_methods, preset
from core.experiments.studies.selection import SelectionStudy
from core.experiments.studies.study import Study
from core.experiments.training.adapt import Adapt
from core.experiments.training.baseline import Baseline
from core.experiments.training.build_corpus import Gather
from core.experiments.training.ensemble import Ensemble
from core.experiments.training.finetune import FineTune
from core.experiments.training.lr_search import Tune
from core.experiments.training.pretrain import Pretrain

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
