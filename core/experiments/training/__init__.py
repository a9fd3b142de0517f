"""Specs that train."""
