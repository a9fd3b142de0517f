import base64
import xml.etree.ElementTree as ET

import pytest

from core.chem import depict

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


@pytest.mark.parametrize("dark", [False, True])
def test_a_drawing_is_an_svg_of_the_size_asked_for_on_a_transparent_ground(dark):
    picture = depict.draw_svg(ASPIRIN, 200, 140, dark=dark)
    root = ET.fromstring(picture)
    assert root.tag.endswith("svg") and root.get("width") == "200px" and root.get("height") == "140px"
    assert not [node for node in root.iter() if node.tag.endswith("rect")], "a ground was painted"
    assert len([node for node in root.iter() if node.tag.endswith("path")]) > 10


def test_dark_and_light_differ():
    assert depict.draw_svg(ASPIRIN, dark=True) != depict.draw_svg(ASPIRIN, dark=False)


@pytest.mark.parametrize("smiles", ["", "   ", "not a molecule", "C1CC", "CC>>CO", None, 3.5, "C" * 400])
def test_what_cannot_be_drawn_gives_a_placeholder(smiles):
    root = ET.fromstring(depict.draw_svg(smiles))
    assert next(node.text for node in root.iter() if node.tag.endswith("text"))


def test_a_placeholder_escapes_its_text():
    picture = depict.placeholder_svg("<script>alert(1)</script>")
    ET.fromstring(picture)
    assert "<script" not in picture


def test_highlighted_atoms_change_the_drawing_and_wrong_ones_do_not_raise():
    assert depict.draw_svg(ASPIRIN, highlight=(0, 1)) != depict.draw_svg(ASPIRIN)
    ET.fromstring(depict.draw_svg(ASPIRIN, highlight=(999,)))


def test_molecules_that_share_a_core_are_laid_alike():
    core = depict.find_shared_core("Oc1ccccc1C(=O)O", "CCOc1ccccc1C(=O)O")
    assert core and len(depict.match_atoms(ASPIRIN, core)) >= 5
    assert depict.draw_svg(ASPIRIN, core=core) and depict.draw_svg("CCO", core=core)  # lacking it is no fault


def test_no_core_is_shared_by_strangers():
    assert depict.find_shared_core("CCO", "c1ccccc1") == ""
    assert depict.match_atoms("CCO", "") == ()


def test_a_data_uri_holds_the_picture():
    picture = depict.draw_svg(ASPIRIN)
    head, body = depict.data_uri(picture).split(",", 1)
    assert head == "data:image/svg+xml;base64" and base64.b64decode(body).decode() == picture
