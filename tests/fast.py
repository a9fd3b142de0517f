"""Which test files are fast: those that import no large library, even indirectly or deferred. Read from the source."""

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "transformers", "peft", "torch_geometric", "playwright", "streamlit"}


def is_fast(path: Path) -> bool:
    """Whether neither the file nor any file of this project that it imports, also indirectly, imports one of `HEAVY`."""
    return not (path.suffix == ".py" and reach_imports(path) & HEAVY)


def reach_imports(path: Path) -> set[str]:
    """The top-level packages that a file imports, directly or through files of this project."""
    roots: set[str] = set()
    visited, pending = set(), [path]
    while pending:
        file = pending.pop()
        if file in visited:
            continue
        visited.add(file)
        for name in read_imports(file):
            roots.add(name.split(".")[0])
            pending += find_files(name)
    return roots


@functools.cache
def read_imports(path: Path) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


@functools.cache
def find_files(name: str) -> list[Path]:
    """The files that `import name` runs: for `a.b.c` the packages `a` and `a.b`, and the module."""
    parts = name.split(".")
    if not (ROOT / parts[0]).exists() and not (ROOT / f"{parts[0]}.py").exists():
        return []
    folders = [ROOT.joinpath(*parts[:count]) for count in range(1, len(parts) + 1)]
    return [
        file for folder in folders for file in (folder / "__init__.py", folder.with_suffix(".py")) if file.is_file()
    ]
