"""The documents: links and code paths exist, the README is short, entries of the log have their form."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GENERATED = {"cli.md", "methods.md"}  # written from the code, see `make docs`
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LOG = [path for path in DOCUMENTS if path.parent.name == "log" and path.name != "README.md"]
WORDS = 700  # of the README

every = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
every_topic = pytest.mark.parametrize("path", LOG, ids=lambda path: path.stem)


def find_anchors(path: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.M)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {"".join(c for c in text if c.isalnum() or c in " -_").replace(" ", "-") for text in plain}


@every
def test_links_exist(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if link.startswith("http") or target.name in GENERATED:
            continue
        assert target.exists(), link
        assert not anchor or anchor in find_anchors(target), link


@every
def test_code_paths_exist(path):
    if path.name == "CHANGELOG.md":  # names paths of former versions
        return
    paths = re.findall(r"`((?:core|pages|tests)/[\w./<>-]*)`", path.read_text("utf-8"))
    assert not [name for name in paths if "<" not in name and "NAME" not in name and not (ROOT / name).exists()]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= WORDS


@every_topic
def test_entries_of_the_log_open_with_date_decision_number_and_place(path):
    entries = path.read_text("utf-8").split("\n## ")[1:]
    index = (path.parent / "README.md").read_text("utf-8")
    for entry in entries:
        title, _, opening = entry.split("\n")[:3]
        assert re.fullmatch(r"\*\d{4}-\d\d-\d\d · Decision: .+ · .+ · .+\*", opening), title
        assert f"[{title}]({path.name}#" in index, f"{title} is not in docs/log/README.md"
