"""Every room in every state: nothing is raised, and the page says what is the matter."""

import pytest

from tests.pages.conftest import STATES, words

ROOMS = ("start", "data", "train", "influence", "sample", "methods", "multitask", "compare", "predict", "runs")


@pytest.mark.parametrize("cache", STATES, indirect=True)
@pytest.mark.parametrize("room", ROOMS)
def test_a_page_opens_in_every_state(open_page, cache, room, request):
    state = request.node.callspec.params["cache"]
    at = open_page(room)
    text = words(at)
    assert at.title[0].value == ("Molsway" if room == "start" else room.capitalize())
    if room in ("train", "influence", "methods", "compare", "predict"):
        said = {"empty": " yet", "running": "40%", "failed": "became nan", "cancelled": "It was cancelled at 40%"}
        assert said.get(state, "") in text.replace("\\", "")
        assert "Go on" in text or state not in ("failed", "cancelled")
    if room == "runs":
        assert ("The store is empty" in text) == (state != "done")
