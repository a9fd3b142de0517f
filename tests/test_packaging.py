"""What `pip install .` installs agrees with what a checkout uses."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_dependencies_are_the_pinned_requirements() -> None:
    assert PROJECT["project"]["dependencies"] == (ROOT / "requirements.txt").read_text().split()


def test_the_wheel_has_everything_that_the_dashboard_needs() -> None:
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert {"core", "pages", "app.py", ".streamlit"} <= set(included)
    assert (ROOT / ".streamlit" / "config.toml").is_file()
    assert list((ROOT / "core" / "models" / "backbones" / "checkpoints" / "molsway-mini").glob("*.safetensors"))
