"""The hardware of this machine, without importing torch."""

import os
import subprocess

import psutil
import streamlit as st


@st.cache_data(show_spinner=False, ttl=600)
def describe_machine() -> list[str]:
    """Sentences on the accelerator, the cores and the memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # Linux alone
    memory = psutil.virtual_memory().total / 2**30
    return [find_accelerator(), f"{cores} CPU core{'s' if cores > 1 else ''}", f"{memory:.0f} GiB memory"]


def find_accelerator() -> str:
    """The name of the GPU, as its driver reports it; a sentence where there is none."""
    asked = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "no GPU found: runs use the CPU"
    return answer.splitlines()[0] if answer else "no GPU found: runs use the CPU"
