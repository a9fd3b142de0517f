"""Imports go down, never up nor round; read from the source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIMIT = 300  # lines; a longer file says why in its docstring, with the words "long because"

STOREYS = [
    {
        "core.spec",
        "core.temperature",
        "core.report",
        "core.memory",
        "core.meter",
        "core.chem",
        "core.contributions",
        "core.metrics",
        "core.bootstrap",
        "core.numerals",
        "core.parallel",
        "core.properties",
        "core.features",
        "core.devices",
        "core.multiplying",
    },
    {
        "core.tables",
        "core.data",
        "core.cleaning",
        "core.scores",
        "core.fits",
        "core.claims",
        "core.comparison",
        "core.corpus",
        "core.factors",
        "core.figures",
        "core.arm_figures",
        "core.audit",
        "core.calibration",
        "core.choice",
        "core.choice_figures",
        "core.drawing",
        "core.greedy",
        "core.intervals",
        "core.label_figures",
        "core.last_layer",
        "core.mapped",
        "core.mixture",
        "core.mixture_comparison",
        "core.mixture_figures",
        "core.mixture_tables",
        "core.predicted",
        "core.prediction_figures",
        "core.published",
        "core.representation",
        "core.suspicion",
        "core.tangent",
        "core.tabled",
        "core.verification",
    },
    {"core.backbones", "core.methods", "core.solvers", "core.samplers", "core.learners"},
    {
        "core.predictor",
        "core.learned",
        "core.committee",
        "core.proof",
        "core.portable",
        "core.frozen",
        "core.document",
        "core.heads",
        "core.one_head",
        "core.trunk",
    },
    {
        "core.training",
        "core.replaying",
        "core.resuming",
        "core.masking",
        "core.objective",
        "core.reading",
        "core.influence",
        "core.directional",
        "core.gram",
        "core.layers",
    },
    {"core.experiments"},
    {
        "core.disk",
        "core.faults",
        "core.making",
        "core.progress",
        "core.ledger",
        "core.line",
        "core.store",
        "core.jobs",
        "core.crew",
    },
    {
        "core.auditing",
        "core.bar",
        "core.bench",
        "core.benching",
        "core.commands",
        "core.on_tables",
        "core.pretraining",
        "core.schema",
        "core.__main__",
    },
    {"pages.parts"},
    {"pages.views"},
    {"app"},
]
NEIGHBOURS = {  # who may be imported on one's own floor
    "core.audit": {"core.data"},
    "core.calibration": {"core.fits", "core.intervals"},
    "core.choice_figures": {"core.figures"},
    "core.cleaning": {"core.tables", "core.data"},
    "core.contributions": {"core.chem", "core.spec"},
    "core.devices": {"core.multiplying"},
    "core.mixture": {"core.data", "core.fits"},
    "core.mixture_figures": {"core.figures"},
    "core.mixture_tables": {"core.mixture"},
    "core.predicted": {"core.tabled"},
    "core.prediction_figures": {"core.figures"},
    "core.label_figures": {"core.figures", "core.intervals"},
    "core.tabled": {"core.mixture_tables"},
    "core.scores": {"core.data"},
    "core.fits": {"core.data"},
    "core.claims": {"core.comparison"},
    "core.comparison": {"core.fits"},
    "core.arm_figures": {"core.figures"},
    "core.figures": {"core.data", "core.scores", "core.fits", "core.comparison"},
    "core.committee": {"core.predictor", "core.learned", "core.one_head"},
    "core.one_head": {"core.frozen", "core.heads"},
    "core.proof": {"core.predictor"},
    "core.frozen": {"core.predictor"},
    "core.portable": {"core.committee", "core.predictor"},
    "core.training": {"core.replaying", "core.resuming"},
    "core.directional": {"core.influence"},
    "core.influence": {"core.directional", "core.gram"},
    "core.gram": {"core.influence", "core.layers"},
    "core.objective": {"core.masking"},
    "core.ledger": {"core.disk"},
    "core.line": {"core.disk", "core.ledger", "core.progress"},
    "core.faults": {"core.disk"},
    "core.making": {"core.disk", "core.faults"},
    "core.store": {"core.disk", "core.making"},
    "core.jobs": {"core.crew", "core.disk", "core.faults", "core.line", "core.progress", "core.store"},
    "core.crew": {"core.store"},
    "core.commands": {"core.bar"},
    "core.auditing": {"core.commands"},
    "core.on_tables": {"core.bar", "core.commands"},
    "core.pretraining": {"core.commands"},
    "core.benching": {"core.auditing", "core.bar", "core.bench", "core.commands"},
    "core.__main__": {
        "core.auditing",
        "core.benching",
        "core.commands",
        "core.on_tables",
        "core.pretraining",
        "core.schema",
    },
    "core.report": {"core.spec"},
    "core.parallel": {"core.report"},
    "core.meter": {"core.memory"},
    "core.chem": {"core.spec"},
    "core.properties": {"core.chem", "core.spec"},
    "core.features": {"core.chem", "core.properties", "core.report", "core.spec"},
    "core.metrics": {"core.spec"},
    "core.bootstrap": {"core.metrics"},
}
ONLY_GROUND = {
    "core.disk",
    "core.faults",
    "core.making",
    "core.progress",
    "core.ledger",
    "core.line",
    "core.store",
    "core.jobs",
    "core.crew",
}  # they know neither what is made nor how
SOURCES = sorted([*(ROOT / "core").rglob("*.py"), *(ROOT / "pages").rglob("*.py"), ROOT / "app.py"])


def house(name: str) -> str | None:
    """The module of the plan that `name` belongs to."""
    known = {module for storey in STOREYS for module in storey}
    parts = name.split(".")
    return next((".".join(parts[:k]) for k in range(len(parts), 0, -1) if ".".join(parts[:k]) in known), None)


def storey(module: str) -> int:
    return next(level for level, modules in enumerate(STOREYS) if module in modules)


def imports(path: Path) -> set[str]:
    """Everything a file imports, wherever it stands in it, but not what is there for the type checker alone."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_an_import_never_points_up(path: Path) -> None:
    own = house(name_of(path))
    if own is None:
        assert path.name == "__init__.py", f"{name_of(path)} has no place in the floor plan"
        return
    for target in {house(name) for name in imports(path)} - {None, own}:
        if own in ONLY_GROUND:
            assert storey(target) == 0 or target in ONLY_GROUND, f"{own} may know only the ground, not {target}"
        elif storey(target) == storey(own):
            assert target in NEIGHBOURS.get(own, set()), f"{own} and {target} are on one floor"
        else:
            assert storey(target) < storey(own), f"{own} imports {target}, which is above it"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_the_browser_stays_above_and_torch_below(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path)}
    if path.is_relative_to(ROOT / "core"):
        assert "streamlit" not in roots
    else:
        assert not roots & {"torch", "transformers", "peft"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_is_one_noun(path: Path) -> None:
    text = path.read_text()
    head = ast.get_docstring(ast.parse(text)) or ""
    assert head, "a file says in its first line what it is"
    assert len(text.splitlines()) <= LIMIT or "long because" in head


def test_recipes_are_read_without_torch() -> None:
    """A page knows every recipe and never pays for torch."""
    code = "import sys, core.experiments, core.store, core.jobs; sys.exit(any(m in sys.modules for m in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_nothing_is_pickled() -> None:
    for path in SOURCES:
        products = imports(path) - {"joblib.Parallel", "joblib.delayed"}  # what is handed to a process is not kept
        assert not {name.split(".")[0] for name in products} & {
            "pickle",
            "joblib",
            "dill",
            "cloudpickle",
            "shelve",
        }, path
