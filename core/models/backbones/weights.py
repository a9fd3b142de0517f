"""The tensors of a backbone on disk: safetensors, with the hub's names for MoLFormer, checked strictly."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.engine.spec import BadInput

WEIGHTS_FILE = "model.safetensors"
BODY, HEAD = "molformer.", "lm_head."  # a file with the encoder only has neither prefix


def save_weights(folder: Path, state: Mapping[str, Tensor], config: dict[str, Any]) -> None:
    """Write model.safetensors and config.json; with a masked-LM head encoder names get the prefix `molformer.`."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        _name_in_file(name, has_token_head(state)): value.detach().cpu().contiguous() for name, value in state.items()
    }
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")


def load_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors, copied from the file. Raises `BadInput` when it is absent, truncated or damaged."""
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise BadInput(
            f"{folder} has no {WEIGHTS_FILE}; other formats, such as pickles, are not read: convert the weights to "
            "safetensors"
        )
    try:
        return {name: value.clone() for name, value in load_file(path).items()}
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        size, wanted = path.stat().st_size, _expected_bytes(path)
        if wanted is not None and wanted != size:
            fault = f"its header says {wanted:,} bytes, so the copy is incomplete"
        else:
            fault = str(error).splitlines()[0]
        raise BadInput(f"{path} ({size:,} bytes) cannot be read as safetensors: {fault}; copy it again") from None


def has_token_head(names: Iterable[str]) -> bool:
    """Whether these tensor names include a masked-LM head."""
    return any(name.startswith((BODY, HEAD)) for name in names)


def match_weights(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """The tensors of a file as float32, renamed as in the model's state `wanted`.

    Raises `BadInput` that lists the tensors that are missing, unexpected, of a wrong shape or type, or not finite.
    """
    head = has_token_head(tensors)
    expected = {_name_in_file(name, head): (name, value.shape) for name, value in wanted.items()}
    faults = []
    if missing := expected.keys() - tensors.keys():
        faults.append(f"{len(missing)} missing: {_list_names(missing)}")
    if unexpected := tensors.keys() - expected.keys():
        faults.append(f"{len(unexpected)} not expected: {_list_names(unexpected)}")
    common = sorted(expected.keys() & tensors.keys())
    for name in common:
        value, shape = tensors[name], expected[name][1]
        if value.shape != shape:
            faults.append(f"{name} is {tuple(value.shape)}, wanted {tuple(shape)}")
        elif not value.is_floating_point():
            faults.append(f"{name} holds {value.dtype}, wanted floating-point numbers")
        elif not bool(value.isfinite().all()):
            faults.append(f"{name} has values that are not finite")
    if faults:
        raise BadInput(
            f"the weights in {folder} do not fit its config.json ({len(common)} of {len(expected)} tensors match): "
            f"{'; '.join(faults)}; use weights and config of the same model"
        )
    return {expected[name][0]: tensors[name].float() for name in common}


def file_digest(path: Path) -> str:
    """sha256 of a file (hex)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _name_in_file(name: str, head: bool) -> str:
    return BODY + name if head and not name.startswith(HEAD) else name


def _list_names(names: Iterable[str]) -> str:
    """Names with the numbers of equal layers merged: `encoder.layer.0,1,2.output.dense.bias`."""
    groups: dict[tuple[str, str], list[int]] = {}
    for name in names:
        before, number, after = re.fullmatch(r"(?:(.*\.layer\.)(\d+)(\..*))?.*", name).groups()
        groups.setdefault((before, after) if before else (name, ""), []).append(int(number or 0))
    return ", ".join(
        f"{before}{','.join(map(str, sorted(numbers)))}{after}" if after else before
        for (before, after), numbers in sorted(groups.items())
    )


def _expected_bytes(path: Path) -> int | None:
    """The size in bytes that the header of a safetensors file implies; None where it cannot be read."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > 100_000_000:
            return None
        try:
            header = json.loads(file.read(length))
            return 8 + length + max(entry["data_offsets"][1] for name, entry in header.items() if name[0] != "_")
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return None
