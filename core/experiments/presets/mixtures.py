"""Mixtures with a name: the one that comes with the installation, and ToyMix from files of one's own."""

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
    folder: str, seed: int = 0, beside: tuple[tuple[Spec[Dataset], Spec[Dataset]], ...] = ()
) -> tuple[MixtureTable, ...]:
    """QM9, Tox21 and ZINC12k, from a folder that holds their files, each split at random 80 : 10 : 10.

    Raises `BadInput` where a file is not there.
    """
    found = []
    for name, about in TOYMIX.items():
        there = [Path(folder) / file for file in about["files"] if (Path(folder) / file).is_file()]
        if not there:
            raise BadInput(
                f"{folder} has no file of {name} ({' or '.join(about['files'])}); ToyMix's files lie at {TOYMIX_ADDRESS}"
            )
        table = Load(f"file:{there[0]}", smiles=about["smiles"], targets=about["targets"])
        found.append(MixtureTable(*split_table(table, seed=seed), name=name, **about["learned"]))
    return build_mixture(found, beside)


def read_largemix(folder: str, rows: int, seed: int = 0) -> tuple[MixtureTable, ...]:
    """So many molecules of each table of LargeMix and UltraLarge whose files are in a folder, drawn, split at random.

    Labels of atoms are not read. Raises `BadInput` where none of the files is there.
    """
    found = []
    for name, about in LARGEMIX.items():
        if list(Path(folder).glob(about["file"])):
            table = FileSample(str(Path(folder) / about["file"]), about["targets"], about["smiles"], rows, seed)
            found.append(MixtureTable(*split_table(table, seed=seed), name=name, loss=about.get("loss", "mae")))
    if not found:
        names = ", ".join(about["file"] for about in LARGEMIX.values())
        raise BadInput(f"{folder} has none of the files of LargeMix and UltraLarge ({names})")
    return build_mixture(found)


def bundled_mixture(seed: int = 0) -> tuple[MixtureTable, ...]:
    """Two measured tables that come with the installation, and computed properties of drug molecules beside them."""
    drugs = ComputedLabels(Load("bundled:drugs", limit=800))
    return build_mixture(
        (
            MixtureTable(*split_table(Load("bundled:solubility"), seed=seed), name="solubility"),
            MixtureTable(*split_table(Load("bundled:hydration"), seed=seed), name="hydration"),
            MixtureTable(*split_table(drugs, seed=seed), name="computed"),
        )
    )


def demo(seed: int = 0) -> MixtureStudy:
    """Solubility, hydration free energy and computed properties, together and each alone: minutes on two cores."""
    backbone = Gnn(width=48, depth=3)
    multi = Multitask(bundled_mixture(seed), backbone=backbone, epochs=8, batch_size=64, learning_rate=3e-3)
    return MixtureStudy(multi, controls=("steps", "molecules"), seeds=three_seeds(seed))


def toymix_study(folder: str, seed: int = 0, epochs: int = 8) -> MixtureStudy:
    """ToyMix by GCN, GIN and GINE, together and each table alone, three seeds."""
    multi = Multitask(toymix(folder, seed), backbone=Gnn(), epochs=epochs, batch_size=128)
    return MixtureStudy(multi, backbones=tuple(Gnn(layer=layer) for layer in LAYER_TYPES), seeds=three_seeds(seed))


def split_both_ways(table: Spec[Dataset], seed: int) -> dict[str, tuple[Spec[Dataset], ...]]:
    """A small table by both splits: (train, valid, test) each."""
    return {by: split_table(table, by=by, seed=seed) for by in ("random", "scaffold")}


def toymix_without(table: Spec[Dataset], folder: str, seed: int) -> tuple[MixtureTable, ...]:
    """ToyMix that learns from no molecule that either split of a small table is chosen or tested by."""
    return toymix(folder, seed, tuple(split[1:] for split in split_both_ways(table, seed).values()))


def transfer_fit(
    train: Spec[Dataset],
    valid: Spec[Dataset],
    test: Spec[Dataset],
    network: Any,
    epochs: int = 40,
    features: str = "none",
) -> FineTune:
    """The fine-tuning on a small table that trunks are compared by: the embedding alone, all weights at one rate.

    Beside descriptors (`features`) what a trunk knows counts for less. Long and gentle enough for random weights:
    Lipophilicity from scratch ends at 1.19 after 500 steps with the head at three times the rate, at .93 after 1,500
    and at .63 after 4,000 with all weights at one.
    """
    rate = 1e-3 if isinstance(network, Gnn) else None  # a transformer's is the method's advice
    return FineTune(
        train, valid, test, backbone=network, features=features, epochs=epochs, learning_rate=rate, head_lr_multiplier=1.0,
        dropout=0.1,
    )  # fmt: skip


def transfer_study(table: Spec[Dataset], folder: str, by: str = "random", seed: int = 0) -> Transfer:
    """What trunks of ToyMix are worth for a small table: of all, of all but ZINC, and of Tox21 alone.

    ZINC's logP is kin to the question of many a table. All take as many optimiser steps, and are trained anew for every
    seed. Beside them random weights and models without a network.
    """
    members = toymix_without(table, folder, seed)
    multi = Multitask(members, as_long_as=members, epochs=8)
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
    """Trunks of one, two or three tables of ToyMix with 1,000 to 4,000 molecules in all, for 420 of a small table."""
    fit = transfer_fit(*split_both_ways(table, seed)["random"], Gnn())
    few = {
        name: Subsample(getattr(fit, name), size, seed=seed, lenient=True)
        for name, size in (("train", 420), ("valid", 52))
    }
    fit = dataclasses.replace(fit, **few)
    return Ablation(Multitask(toymix_without(table, folder, seed)), fit, steps=500, seeds=three_seeds(seed))


def largemix_model(folder: str, seed: int = 0, rows: int = 10_000, epochs: int = 20) -> Multitask:
    """LargeMix and UltraLarge, ten thousand molecules of each table that is there, by a wider GINE."""
    return Multitask(
        read_largemix(folder, rows, seed), backbone=Gnn(width=256), epochs=epochs, batch_size=256, seed=seed
    )


def three_seeds(seed: int) -> tuple[int, ...]:
    return tuple(100 * seed + number for number in range(3))
