"""Backbones: SMILES in, embeddings out. Chosen and read about without torch; making one imports it."""

from core.backbones.config import SIZES, MolformerConfig
from core.backbones.gnn import Gnn
from core.backbones.pretrained import Pretrained, Untrained, load
from core.engine.spec import Family

BACKBONES = Family("backbone", Pretrained, Untrained, Gnn)

__all__ = ["BACKBONES", "SIZES", "Gnn", "MolformerConfig", "Pretrained", "Untrained", "load"]
