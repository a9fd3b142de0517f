import base64
import xml.etree.ElementTree as ET

import pytest

from core.chem import depict

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


@pytest.mark.parametrize("dark", [False, True])
def test_drawing_is_a_transparent_svg_of_the_given_size(dark):
    picture = depict.draw_svg(ASPIRIN, 200, 140, dark=dark)
    root = ET.fromstring(picture)
    assert root.tag.endswith("svg") and root.get("width") == "200px" and root.get("height") == "140px"
    assert not [node for node in root.iter() if node.tag.endswith("rect")], "a ground was painted"
    assert len([node for node in root.iter() if node.tag.endswith("path")]) > 10


def test_dark_and_light_differ():
    assert depict.draw_svg(ASPIRIN, dark=True) != depict.draw_svg(ASPIRIN, dark=False)


@pytest.mark.parametrize("smiles", ["", "   ", "not a molecule", "C1CC", "CC>>CO", None, 3.5, "C" * 400])
def test_invalid_input_gives_a_placeholder(smiles):
    root = ET.fromstring(depict.draw_svg(smiles))
    assert next(node.text for node in root.iter() if node.tag.endswith("text"))


def test_placeholder_escapes_its_text():
    picture = depict.placeholder_svg("<script>alert(1)</script>")
    ET.fromstring(picture)
    assert "<script" not in picture


def test_highlights_change_the_drawing_and_invalid_ones_are_ignored():
    assert depict.draw_svg(ASPIRIN, highlight=(0, 1)) != depict.draw_svg(ASPIRIN)
    ET.fromstring(depict.draw_svg(ASPIRIN, highlight=(999,)))


def test_shared_core_is_aligned():
    core = depict.find_shared_core("Oc1ccccc1C(=O)O", "CCOc1ccccc1C(=O)O")
    assert core and len(depict.match_atoms(ASPIRIN, core)) >= 5
    assert depict.draw_svg(ASPIRIN, core=core) and depict.draw_svg("CCO", core=core)  # lacking it is no fault


def test_different_molecules_share_no_core():
    assert depict.find_shared_core("CCO", "c1ccccc1") == ""
    assert depict.match_atoms("CCO", "") == ()


def test_data_uri_contains_the_drawing():
    picture = depict.draw_svg(ASPIRIN)
    head, body = depict.data_uri(picture).split(",", 1)
    assert head == "data:image/svg+xml;base64" and base64.b64decode(body).decode() == picture
