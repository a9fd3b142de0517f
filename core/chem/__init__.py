"""Molecules as RDKit sees them."""
