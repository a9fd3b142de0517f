"""Preset mixtures: bundled tables, ToyMix, LargeMix and UltraLarge from files, and studies of them."""

import dataclasses
from pathlib import Path
from typing import Any

from core.data.dataset import Dataset
from core.engine.spec import BadInput, Spec
from core.experiments.data.computed_labels import ComputedLabels
from core.experiments.data.file_sample import FileSample
from core.experiments.data.load import Load
from core.experiments.data.split import split_table
from core.experiments.data.subsample import Subsample
from core.experiments.multitask.ablation import Ablation
from core.experiments.multitask.mixture_study import MixtureStudy
from core.experiments.multitask.mixture_table import MixtureTable, build_mixture
from core.experiments.multitask.multitask import Multitask
from core.experiments.multitask.transfer import Transfer
from core.experiments.training.finetune import FineTune
from core.models.backbones import Gnn
from core.models.baselines import RandomForest, SupportVectors
from core.models.methods import Full, Head

QM9 = ("A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u298", "h298", "g298", "cv",
       "u0_atom", "u298_atom", "h298_atom", "g298_atom")  # fmt: skip
TOX21 = ("NR-AR", "NR-AR-LBD", "NR-AhR", "NR-Aromatase", "NR-ER", "NR-ER-LBD", "NR-PPAR-gamma", "SR-ARE", "SR-ATAD5",
         "SR-HSE", "SR-MMP", "SR-p53")  # fmt: skip
TOYMIX: dict[str, dict[str, Any]] = {  # Beaini et al. 2023, arXiv 2310.04292
    "qm9": {
        "files": ("qm9.csv.gz", "qm9.csv", "qm9_25k.csv.gz"),
        "smiles": "smiles",
        "targets": QM9,
        "learned": {"hidden": 128, "scaler": "robust"},  # the rotational constant A of water is 800, the median 3
    },
    "tox21": {
        "files": ("Tox21-7k-12-labels.csv.gz", "tox21.csv.gz"),
        "smiles": "smiles",
        "targets": TOX21,
        "learned": {"hidden": 64},
    },
    "zinc": {
        "files": ("ZINC12k.csv.gz", "ZINC12k.csv"),
        "smiles": "SMILES",
        "targets": ("SA", "logp", "score"),
        "learned": {"hidden": 32},
    },
}
LARGEMIX: dict[str, dict[str, Any]] = {  # LargeMix and UltraLarge, their graph-level labels
    "l1000_vcap": {"file": "LINCS_L1000_VCAP_0-4.csv.gz", "smiles": "SMILES", "targets": "geneID-*", "loss": "binned"},
    "l1000_mcf7": {"file": "LINCS_L1000_MCF7_0-4.csv.gz", "smiles": "SMILES", "targets": "geneID-*", "loss": "binned"},
    "pcba_1328": {"file": "PCBA_1328_1564k.parquet", "smiles": "SMILES", "targets": "assayID-*"},
    "pcqm4m_g25": {"file": "PCQM4M_G25_N4.parquet", "smiles": "ordered_smiles", "targets": "graph_*"},
    "pm6_83m_g62": {"file": "pm6_processed_*.parquet", "smiles": "ordered_smiles", "targets": "graph_*"},
}
TOYMIX_ADDRESS = "https://storage.valencelabs.com/graphium/datasets/neurips_2023/Small-dataset/"
LAYER_TYPES = ("gcn", "gin", "gine")


def toymix(
    folder: str, seed: int = 0, context: tuple[tuple[Spec[Dataset], Spec[Dataset]], ...] = ()
) -> tuple[MixtureTable, ...]:
    """QM9, Tox21 and ZINC12k from a folder with their files, each split at random 80 : 10 : 10.

    `context`: (validation, test) of further tables, not trained on. Raises `BadInput` for a missing file.
    """
    tables = []
    for name, settings in TOYMIX.items():
        paths = [Path(folder) / file for file in settings["files"] if (Path(folder) / file).is_file()]
        if not paths:
            raise BadInput(
                f"{folder} has no file of {name} ({' or '.join(settings['files'])}); "
                f"download ToyMix from {TOYMIX_ADDRESS}"
            )
        table = Load(f"file:{paths[0]}", smiles=settings["smiles"], targets=settings["targets"])
        tables.append(MixtureTable(*split_table(table, seed=seed), name=name, **settings["learned"]))
    return build_mixture(tables, context)


def read_largemix(folder: str, rows: int, seed: int = 0) -> tuple[MixtureTable, ...]:
    """`rows` random molecules of each table of LargeMix and UltraLarge with a file in a folder, split at random.

    Labels of atoms are not read. Raises `BadInput` where no file is found.
    """
    tables = []
    for name, settings in LARGEMIX.items():
        if list(Path(folder).glob(settings["file"])):
            table = FileSample(
                str(Path(folder) / settings["file"]), settings["targets"], settings["smiles"], rows, seed
            )
            tables.append(MixtureTable(*split_table(table, seed=seed), name=name, loss=settings.get("loss", "mae")))
    if not tables:
        names = ", ".join(settings["file"] for settings in LARGEMIX.values())
        raise BadInput(f"{folder} has none of the files of LargeMix and UltraLarge ({names})")
    return build_mixture(tables)


def bundled_mixture(seed: int = 0) -> tuple[MixtureTable, ...]:
    """Two bundled tables with measured labels, and one with computed properties of drug molecules."""
    drugs = ComputedLabels(Load("bundled:drugs", limit=800))
    return build_mixture(
        (
            MixtureTable(*split_table(Load("bundled:solubility"), seed=seed), name="solubility"),
            MixtureTable(*split_table(Load("bundled:hydration"), seed=seed), name="hydration"),
            MixtureTable(*split_table(drugs, seed=seed), name="computed"),
        )
    )


def demo(seed: int = 0) -> MixtureStudy:
    """Solubility, hydration free energy and computed properties: multitask against single-table training."""
    backbone = Gnn(width=48, depth=3)
    multi = Multitask(bundled_mixture(seed), backbone=backbone, epochs=8, batch_size=64, learning_rate=3e-3)
    return MixtureStudy(multi, controls=("steps", "molecules"), seeds=three_seeds(seed))


def toymix_study(folder: str, seed: int = 0, epochs: int = 8) -> MixtureStudy:
    """ToyMix with GCN, GIN and GINE: multitask against single-table training, three seeds."""
    multi = Multitask(toymix(folder, seed), backbone=Gnn(), epochs=epochs, batch_size=128)
    return MixtureStudy(multi, backbones=tuple(Gnn(layer=layer) for layer in LAYER_TYPES), seeds=three_seeds(seed))


def split_both_ways(table: Spec[Dataset], seed: int) -> dict[str, tuple[Spec[Dataset], ...]]:
    """(train, valid, test) of a small table, by random and by scaffold split."""
    return {by: split_table(table, by=by, seed=seed) for by in ("random", "scaffold")}


def toymix_without(table: Spec[Dataset], folder: str, seed: int) -> tuple[MixtureTable, ...]:
    """ToyMix without the validation and test molecules of both splits of a small table."""
    return toymix(folder, seed, tuple(split[1:] for split in split_both_ways(table, seed).values()))


def transfer_fit(
    train: Spec[Dataset],
    valid: Spec[Dataset],
    test: Spec[Dataset],
    backbone: Any,
    epochs: int = 40,
    features: str = "none",
) -> FineTune:
    """The fine-tuning on a small table that compares shared backbones: the embedding alone, one learning rate.

    With descriptors as `features` the backbone matters less. The training is long enough for random weights: the RMSE
    of Lipophilicity from scratch is 1.19 after 500 steps with three times the rate for the head, 0.93 after 1,500 and
    0.63 after 4,000 steps with one rate for all weights.
    """
    rate = 1e-3 if isinstance(backbone, Gnn) else None  # for a transformer, the rate that the method advises
    return FineTune(
        train,
        valid,
        test,
        backbone=backbone,
        features=features,
        epochs=epochs,
        learning_rate=rate,
        head_lr_multiplier=1.0,
        dropout=0.1,
    )


def transfer_study(table: Spec[Dataset], folder: str, by: str = "random", seed: int = 0) -> Transfer:
    """Transfer of shared backbones of ToyMix to a small table: of all tables, without ZINC, and of Tox21 alone.

    The logP labels of ZINC are closely related to the labels of many small tables. All backbones have the same number
    of optimiser steps and are retrained for every seed. Random weights and baselines for comparison.
    """
    members = toymix_without(table, folder, seed)
    multi = Multitask(members, step_reference=members, epochs=8)
    starts = {
        "random weights": Gnn(),
        "Tox21": dataclasses.replace(multi, members=tuple(one for one in members if one.name == "tox21")),
        "QM9 and Tox21": dataclasses.replace(multi, members=tuple(one for one in members if one.name != "zinc")),
        "QM9, Tox21 and ZINC": multi,
    }
    return Transfer(
        transfer_fit(*split_both_ways(table, seed)[by], Gnn()), starts=tuple(starts.values()), names=tuple(starts),
        methods=(Full(), Head()), baselines=(SupportVectors(), RandomForest()), sizes=(50, 100, 200, 420, 1000),
        seeds=three_seeds(seed), retrain_backbones=True,
    )  # fmt: skip


def table_ablation(table: Spec[Dataset], folder: str, seed: int = 0) -> Ablation:
    """Shared backbones of one to three tables of ToyMix with 1,000 to 4,000 molecules, for 420 of a small table."""
    fit = transfer_fit(*split_both_ways(table, seed)["random"], Gnn())
    subsamples = {
        name: Subsample(getattr(fit, name), size, seed=seed, lenient=True)
        for name, size in (("train", 420), ("valid", 52))
    }
    fit = dataclasses.replace(fit, **subsamples)
    return Ablation(Multitask(toymix_without(table, folder, seed)), fit, steps=500, seeds=three_seeds(seed))


def largemix_model(folder: str, seed: int = 0, rows: int = 10_000, epochs: int = 20) -> Multitask:
    """A multitask model of LargeMix and UltraLarge with a wider GINE, on `rows` molecules of each available table."""
    return Multitask(
        read_largemix(folder, rows, seed), backbone=Gnn(width=256), epochs=epochs, batch_size=256, seed=seed
    )


def three_seeds(seed: int) -> tuple[int, ...]:
    return tuple(100 * seed + number for number in range(3))
