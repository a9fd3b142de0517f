"""Backbones: SMILES in, embeddings out. The specs need no torch; building a backbone imports it."""

from core.engine.spec import Family
from core.models.backbones.gnn.spec import Gnn
from core.models.backbones.molformer.config import SIZES, MolformerConfig
from core.models.backbones.pretrained import Pretrained, Untrained, load_backbone

BACKBONES = Family("backbone", Pretrained, Untrained, Gnn, name="kind_name")

__all__ = ["BACKBONES", "SIZES", "Gnn", "MolformerConfig", "Pretrained", "Untrained", "load_backbone"]
