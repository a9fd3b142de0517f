"""Fixtures that many tests share, the option `--fast`, and how parallel tests share the cores."""

import os
from pathlib import Path

import pytest

from tests.fast import is_fast

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if WORKERS > 1:  # before torch is imported: each process takes its share of the cores
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="only the test files that need no torch and no browser")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `--fast`, leave out slow files; a file named on the command line is always run."""
    named = str(collection_path) in {str(Path(one).resolve()) for one in config.args}
    slow = config.getoption("--fast") and collection_path.is_file() and not is_fast(collection_path)
    return True if slow and not named else None


SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """Folder of the public tables next to the repository; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the public tables are not next to the repository")
    return SHARED


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def alcohols() -> list[tuple[str, float]]:
    """Sixty small molecules with a learnable label: carbon atoms minus twice the oxygen atoms."""
    chains = ["C" * n + end for n in range(2, 12) for end in ("", "O", "N", "(C)O", "c1ccccc1", "=O")]
    return [(smiles, float(smiles.upper().count("C") - 2 * smiles.count("O"))) for smiles in chains]


@pytest.fixture
def table(tmp_path: Path, alcohols: list[tuple[str, float]]) -> Path:
    path = tmp_path / "alcohols.csv"
    path.write_text("smiles,size\n" + "".join(f"{smiles},{label}\n" for smiles, label in alcohols))
    return path
