"""What a command prints on stdout: one JSON document, or a plain listing."""

import contextlib
import json
import os
import sys
from typing import Any

from core.engine.files import to_json_value
from core.engine.spec import BadInput


def print_answer(answer: Any, as_json: bool) -> None:
    """Print the answer of a command. Raises `BadInput` where the standard output takes no more."""
    try:
        _print(answer, as_json)
    except BrokenPipeError:
        raise
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):  # what is still buffered is not written at the exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise BadInput(
            f"the answer cannot be written to the standard output ({error.strerror or error}); free some space there, "
            "or send it elsewhere; what was computed is saved"
        ) from None


def _print(answer: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps(to_json_value(answer), indent=1, ensure_ascii=False, allow_nan=False), flush=True)
    elif answer is not None:
        print(answer if isinstance(answer, str) else format_plain(answer), flush=True)


def format_plain(answer: Any, depth: int = 0) -> str:
    """A plain listing of nested values."""
    pad = "  " * depth
    if isinstance(answer, dict):
        lines = [
            f"{pad}{name}: {format_plain(value, 0)}"
            if not isinstance(value, (dict, list)) or not value
            else f"{pad}{name}:\n{format_plain(value, depth + 1)}"
            for name, value in answer.items()
        ]
        return "\n".join(lines)
    if isinstance(answer, list):
        if all(not isinstance(value, (dict, list)) for value in answer):
            return pad + ", ".join(format_plain(value) for value in answer)
        return "\n".join(f"{pad}- {format_plain(value, depth + 1).lstrip()}" for value in answer)
    return f"{pad}{answer:.6g}" if isinstance(answer, float) else f"{pad}{answer}"
