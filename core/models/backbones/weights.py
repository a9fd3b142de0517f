"""The tensors of a backbone on disk: safetensors, a MoLFormer's under the hub's names, read strictly or not at all."""

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
BODY, HEAD = "molformer.", "lm_head."  # a file of the encoder alone has neither


def save_weights(folder: Path, state: Mapping[str, Tensor], config: dict[str, Any]) -> None:
    """model.safetensors and config.json; with the masked-LM head the encoder's names get the prefix `molformer.`."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        _name_in_file(name, has_token_head(state)): value.detach().cpu().contiguous() for name, value in state.items()
    }
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")


def load_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors, copied from the file. Raises `BadInput` when it is absent, cut off or damaged."""
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise BadInput(
            f"{folder} has no {WEIGHTS_FILE}; other formats, pickled ones among them, are not read: convert the weights to "
            "safetensors and put them there"
        )
    try:
        return {name: value.clone() for name, value in load_file(path).items()}
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        size, wanted = path.stat().st_size, _expected_bytes(path)
        if wanted is not None and wanted != size:
            fault = f"its header announces {wanted:,} bytes, so the copy is incomplete"
        else:
            fault = str(error).splitlines()[0]
        raise BadInput(f"{path} ({size:,} bytes) is no readable safetensors file: {fault}; copy it again") from None


def has_token_head(names: Iterable[str]) -> bool:
    """Whether these are the tensors of the whole masked-language model."""
    return any(name.startswith((BODY, HEAD)) for name in names)


def match_weights(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """The tensors of a file under the names of the model that `wanted` describes, as float32.

    Raises `BadInput` that names every tensor which is missing, not expected, of a wrong shape or type, or not finite.
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
            f"the weights in {folder} do not fit its config.json ({len(common)} of {len(expected)} tensors have a "
            f"place): {'; '.join(faults)}; take weights and config from one model"
        )
    return {expected[name][0]: tensors[name].float() for name in common}


def file_digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _name_in_file(name: str, head: bool) -> str:
    return BODY + name if head and not name.startswith(HEAD) else name


def _list_names(names: Iterable[str]) -> str:
    """Names, the numbers of alike layers drawn together: `encoder.layer.0,1,2.output.dense.bias`."""
    groups: dict[tuple[str, str], list[int]] = {}
    for name in names:
        before, number, after = re.fullmatch(r"(?:(.*\.layer\.)(\d+)(\..*))?.*", name).groups()
        groups.setdefault((before, after) if before else (name, ""), []).append(int(number or 0))
    return ", ".join(
        f"{before}{','.join(map(str, sorted(numbers)))}{after}" if after else before
        for (before, after), numbers in sorted(groups.items())
    )


def _expected_bytes(path: Path) -> int | None:
    """Bytes that a safetensors file should have by its own header, if that can be read."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > 100_000_000:
            return None
        try:
            header = json.loads(file.read(length))
            return 8 + length + max(entry["data_offsets"][1] for name, entry in header.items() if name[0] != "_")
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return None
