"""Molsway without a browser: all computation and storage."""

import os

from core.engine import memory

# Read when torch is loaded. Its threads spin while they wait for each other. Where another program needs a core (a
# browser, another training), a step of a small model then takes 90 times as long. After 5,000 spins they sleep.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # batches are small; a fork after threads would warn
memory.keep_freed_memory()
