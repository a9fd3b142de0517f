"""Molsway without a browser: everything that is computed, and what is kept of it."""

import os

from core.engine import memory

# Read when torch is loaded. Its threads wait for each other by spinning, and where anything else wants a core (a
# browser, another training) a training step of a small model then takes 90 times as long; after 5,000 turns they sleep.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # batches are small, and a fork after threads would warn
memory.keep_freed_memory()
