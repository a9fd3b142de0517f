"""The kinds of work: one file for each kind of spec, with its settings and how it is made."""

from core.experiments.data.audit import Audit, CorrectedTable, audit_against_parts
from core.experiments.data.computed_labels import ComputedLabels
from core.experiments.data.concat import Concat
from core.experiments.data.file_sample import FileSample
from core.experiments.data.label_noise import LabelNoise
from core.experiments.data.load import Load, import_files
from core.experiments.data.molecules import Molecules
from core.experiments.data.projection import Projection
from core.experiments.data.select import Select
from core.experiments.data.split import Split, split_table
from core.experiments.data.subsample import Subsample
from core.experiments.inference.predict import Predict
from core.experiments.influence.influence import Influence
from core.experiments.influence.label_errors import LabelErrors
from core.experiments.influence.lds import LDS
from core.experiments.influence.seed_average import SeedAverage
from core.experiments.influence.subset_retraining import SubsetRetraining
from core.experiments.multitask.ablation import Ablation
from core.experiments.multitask.mixture_study import MixtureStudy
from core.experiments.multitask.mixture_table import MixtureTable, build_mixture
from core.experiments.multitask.multitask import Multitask
from core.experiments.multitask.multitask_head import MultitaskHead
from core.experiments.multitask.representation import Representation
from core.experiments.multitask.transfer import Transfer
from core.experiments.presets import PRESETS, build_method_arms, build_preset
from core.experiments.studies.selection import SelectionStudy
from core.experiments.studies.study import Study
from core.experiments.training.adapt import Adapt
from core.experiments.training.baseline import Baseline
from core.experiments.training.build_corpus import BuildCorpus
from core.experiments.training.ensemble import Ensemble
from core.experiments.training.finetune import FineTune
from core.experiments.training.lr_search import LearningRateSearch
from core.experiments.training.pretrain import Pretrain

__all__ = [
    "LDS",
    "PRESETS",
    "Ablation",
    "Adapt",
    "Audit",
    "Baseline",
    "BuildCorpus",
    "ComputedLabels",
    "Concat",
    "CorrectedTable",
    "Ensemble",
    "FileSample",
    "FineTune",
    "Influence",
    "LabelErrors",
    "LabelNoise",
    "LearningRateSearch",
    "Load",
    "MixtureStudy",
    "MixtureTable",
    "Molecules",
    "Multitask",
    "MultitaskHead",
    "Predict",
    "Pretrain",
    "Projection",
    "Representation",
    "SeedAverage",
    "Select",
    "SelectionStudy",
    "Split",
    "Study",
    "Subsample",
    "SubsetRetraining",
    "Transfer",
    "audit_against_parts",
    "build_method_arms",
    "build_mixture",
    "build_preset",
    "import_files",
    "split_table",
]
