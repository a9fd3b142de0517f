"""Sealed tensors: every byte of the file counts."""

from pathlib import Path

import pytest
import torch

from core.models.sealed_tensors import load_sealed, save_sealed


def test_they_come_back_and_no_byte_can_change(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    tensors = {
        "weights": torch.arange(6.0).reshape(2, 3).T,
        "step": torch.tensor(3),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "flags": torch.tensor([True, False]),
        "none": torch.empty(0, 4),
    }
    save_sealed(path, tensors, '{"step": 3}')
    loaded, about = load_sealed(path)
    assert about == '{"step": 3}' and loaded.keys() == tensors.keys()
    assert all(
        torch.equal(loaded[name], value) and loaded[name].dtype == value.dtype for name, value in tensors.items()
    )
    whole = path.read_bytes()
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 1 << position % 8
        path.write_bytes(data)
        try:
            changed, text = load_sealed(path)
        except ValueError:
            continue
        same = all(torch.equal(changed[name], value) for name, value in tensors.items())
        assert same and text == about, position  # only padding of the header may differ


@pytest.mark.parametrize("data", [b"", b"12345678", None])
def test_unreadable_files_are_refused(tmp_path: Path, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / "a").write_bytes(data)
    with pytest.raises(ValueError, match="cannot be read"):
        load_sealed(tmp_path / "a")
