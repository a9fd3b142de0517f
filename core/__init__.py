"""Molsway without a browser: everything that is computed, and what is kept of it."""
