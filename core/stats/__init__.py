"""Metrics, and how sure they are (numpy alone)."""
