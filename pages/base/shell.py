"""Commands of the shell that do what a page does: by this environment's program, on this library."""

import shlex
import shutil
import sys
from pathlib import Path

from pages.base.service import cache_folder

ROOT = Path(__file__).parents[2]


def find_program() -> str | None:
    """The command `molsway` of this environment, where it is installed."""
    return shutil.which("molsway", path=str(Path(sys.executable).parent))


def write_program() -> str:
    """What a command begins with: `molsway`, or else this environment's interpreter, which needs the checkout."""
    installed = find_program()
    return shlex.quote(installed) if installed else f"{shlex.quote(sys.executable)} -m core"


def write_command(words: str, text: str = "") -> str:
    """A command with these words that runs from any folder on this library; `text`: what it reads from its input."""
    folder = "" if find_program() else f"cd {shlex.quote(str(ROOT))} && "
    source = f"printf %s {shlex.quote(text)} | " if text else ""
    return f"{folder}{source}{write_program()} {words} --cache {shlex.quote(str(cache_folder()))}"
