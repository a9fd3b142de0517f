"""Specs that yield tables."""
