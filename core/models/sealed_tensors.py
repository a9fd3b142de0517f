"""Tensors and a text in one safetensors file with the digest of their content: files of work that may be resumed.

A file that was changed or cut short is never read as another state of the work.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


def save_sealed(path: Path, tensors: Mapping[str, Tensor], about: str) -> None:
    """Write the file, first as a draft, so that a crash leaves the previous one intact."""
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    draft = path.with_suffix(".draft")
    save_file(on_cpu, draft, metadata={"about": about, "digest": digest_content(on_cpu, about)})
    os.replace(draft, path)


def load_sealed(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors, on the CPU, and the text. Raises `ValueError` if the file was changed or cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from None
    about = metadata.get("about", "")
    if metadata.get("digest") != digest_content(tensors, about):
        raise ValueError(f"{path.name} was changed: its content is not what was saved")
    return tensors, about


def digest_content(tensors: Mapping[str, Tensor], about: str) -> str:
    """SHA-256 (hex) of names, types, shapes and values of tensors, and of a text."""
    whole = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        value = tensors[name]
        whole.update(f"\n{name} {value.dtype} {tuple(value.shape)}\n".encode())
        whole.update(value.reshape(-1).view(torch.uint8).numpy())
    return whole.hexdigest()
