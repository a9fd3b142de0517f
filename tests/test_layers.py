"""The layers of the house, read from the source: imports point down, and never round."""

import ast
import functools
import graphlib
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the bottom up. What stands in one row may not import each other; a package that is not named here fails.
LAYERS = (
    ("core.engine",),
    ("core",),  # the package itself: threads and memory are set before anything else is imported
    ("core.chem", "core.stats"),
    ("core.data",),
    ("core.results",),
    ("core.figures", "core.models"),
    ("core.training", "core.influence"),
    ("core.selection",),
    ("core.experiments.data",),
    ("core.experiments.training",),
    ("core.experiments.influence",),
    ("core.experiments.multitask",),
    ("core.experiments.studies",),
    ("core.experiments.inference",),
    ("core.experiments.presets",),
    ("core.experiments",),  # the list of all specs
    ("core.bench", "pages"),
    ("pages.base",),
    ("pages.widgets",),
    ("pages.forms",),
    ("pages.results",),
    ("pages.views",),
    ("core.cli", "app"),
    ("core.__main__",),
)
LEVEL = {package: level for level, row in enumerate(LAYERS) for package in row}
FILES = sorted([*(ROOT / "core").rglob("*.py"), *(ROOT / "pages").rglob("*.py"), ROOT / "app.py"])
LINES = 400  # of a file at most; one noun is rarely that long
FOLDER = 20  # files in a folder at most


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in FILES}


def find_package(module: str) -> str:
    """The package of `LAYERS` that a module belongs to: the longest that its name begins with."""
    parts = module.split(".")
    names = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    package = next((name for name in names if name in LEVEL), "")
    inside = module == package or package != "core"  # a new folder of `core` has no place until it is named
    return package if inside else ""


@functools.cache
def read_imports(path: Path) -> frozenset[str]:
    """Every name a file imports, wherever the import stands: in a function, or for the type checker alone."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.relative_to(ROOT)} imports by dots; write the whole name"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def imported_modules(path: Path) -> set[str]:
    """The modules of this project that a file imports: `from a.b import c` is `a.b.c` where that is a module, or `a.b`."""
    modules = set()
    for name in read_imports(path):
        parts = name.split(".")
        names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
        modules |= {module for module in [next((one for one in names if one in MODULES), None)] if module}
    return modules - {module_name(path)}


def arrows() -> Iterator[tuple[str, str]]:
    return ((module, target) for module, path in MODULES.items() for target in imported_modules(path))


def test_every_module_has_a_place() -> None:
    assert [module for module in MODULES if not find_package(module)] == []


def test_every_layer_exists() -> None:
    assert [package for package in LEVEL if package not in MODULES] == []


def test_imports_point_down() -> None:
    upward = []
    for module, target in arrows():
        own, other = find_package(module), find_package(target)
        if own != other and LEVEL[other] >= LEVEL[own]:
            upward.append(f"{module} imports {target}")
    assert sorted(upward) == []


def test_no_file_imports_itself_by_a_detour() -> None:
    graph: dict[str, set[str]] = {}
    for module, target in arrows():
        graph.setdefault(module, set()).add(target)
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, with the circle


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_streamlit_stays_above_and_torch_below(path: Path) -> None:
    roots = {name.split(".")[0] for name in read_imports(path)}
    if path.is_relative_to(ROOT / "core"):
        assert "streamlit" not in roots
    else:
        assert not roots & {"torch", "transformers", "peft", "torch_geometric"}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_file_says_what_it_is_and_is_one_noun(path: Path) -> None:
    text = path.read_text("utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= LINES


def test_folders_are_small() -> None:
    folders = {path.parent for path in FILES}
    full = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in folders}
    assert {folder: count for folder, count in full.items() if count > FOLDER} == {}
    below = [path for path in (ROOT / "core").iterdir() if path.name != "__pycache__"]
    assert len([path for path in below if path.is_dir()]) <= 13
    assert sorted(path.name for path in below if path.is_file()) == ["__init__.py", "__main__.py"]
    assert statistics.median(len(path.read_text("utf-8").splitlines()) for path in FILES) <= 120


def test_specs_are_read_without_torch() -> None:
    """A page knows every spec and never pays for torch."""
    code = "import sys, core.experiments, core.engine.worker; sys.exit(any(m in sys.modules for m in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_nothing_is_pickled() -> None:
    for path in FILES:
        names = read_imports(path) - {"joblib.Parallel", "joblib.delayed"}  # what is handed to a process is not stored
        roots = {name.split(".")[0] for name in names}
        assert not roots & {"pickle", "joblib", "dill", "cloudpickle", "shelve"}, path
