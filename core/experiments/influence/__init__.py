"""Specs that score molecules, and check the scores."""
