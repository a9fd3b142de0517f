"""Published results, shown for comparison and never mixed with measured ones."""

from collections.abc import Sequence
from typing import Any

SOURCE = "Beaini et al. 2023, arXiv 2310.04292, ToyMix test sets: whole QM9 (134 k), random splits of their own"
METRICS = {"qm9": ("mae_sd", "pearson", "r2"), "zinc": ("mae_sd", "pearson", "r2"),
           "tox21": ("log_loss", "auroc", "average_precision")}  # fmt: skip
TOYMIX = {  # by table and layer: the arms alone and all together, in the order of `METRICS`
    ("qm9", "gcn"): ((0.102, 0.958, 0.920), (0.119, 0.955, 0.915)),
    ("qm9", "gin"): ((0.0976, 0.959, 0.922), (0.117, 0.950, 0.908)),
    ("qm9", "gine"): ((0.0959, 0.955, 0.918), (0.102, 0.956, 0.918)),
    ("zinc", "gcn"): ((0.348, 0.941, 0.863), (0.226, 0.973, 0.940)),
    ("zinc", "gin"): ((0.303, 0.950, 0.889), (0.189, 0.978, 0.953)),
    ("zinc", "gine"): ((0.266, 0.961, 0.915), (0.147, 0.987, 0.971)),
    ("tox21", "gcn"): ((0.202, 0.773, 0.334), (0.176, 0.850, 0.446)),
    ("tox21", "gin"): ((0.200, 0.789, 0.350), (0.176, 0.841, 0.454)),
    ("tox21", "gine"): ((0.201, 0.783, 0.345), (0.177, 0.836, 0.455)),
}


def published_results(members: Sequence[str], backbones: Sequence[str]) -> list[dict[str, Any]]:
    """One row per published training whose table and layer are named here; regression errors in standard deviations."""
    rows = []
    for (table, layer), arms in TOYMIX.items():
        if table in {name.lower() for name in members} and layer in {name.lower().split()[0] for name in backbones}:
            for arm, values in zip(("alone", "all together"), arms, strict=True):
                rows.append({"member": table, "layer": layer.upper(), "arm": arm, "source": SOURCE}
                             | dict(zip(METRICS[table], values, strict=True)))  # fmt: skip
    return rows
