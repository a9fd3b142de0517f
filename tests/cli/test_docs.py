"""The generated pages of the documentation agree with the code."""

from pathlib import Path

from core.cli.docs import FOLDER, write_pages


def test_generated_pages_are_up_to_date(tmp_path: Path) -> None:
    stale = [page.name for page in write_pages(tmp_path) if page.read_text() != (FOLDER / page.name).read_text()]
    assert stale == [], "run `make docs`"
