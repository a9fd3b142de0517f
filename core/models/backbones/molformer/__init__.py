"""MoLFormer: a transformer over SMILES with linear attention, our own implementation."""
