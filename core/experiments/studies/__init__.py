"""Specs that compare arms on equal terms."""
