"""Forms drawn from settings classes."""

import numpy as np
from streamlit.testing.v1 import AppTest

from pages.forms import spec_form
from tests.waiting import PATIENCE


def the_form():
    from typing import Annotated, Any, ClassVar, Literal

    import streamlit as st
    from pydantic import Field

    from core.engine.spec import Family, settings
    from pages.forms.spec_form import spec_form

    @settings
    class Plain:
        """Nothing to set."""

        kind: ClassVar[str] = "plain"
        name: ClassVar[str] = "nothing at all"

    @settings
    class Fine:
        """Something to set."""

        kind: ClassVar[str] = "fine"
        name: ClassVar[str] = "FiNE"
        depth: int = Field(default=3, ge=1, le=9, description="how deep")

    family = Family("way", Plain, Fine)

    @settings
    class Recipe:
        """All that a form can hold."""

        kind: ClassVar[str] = "recipe"
        count: int = Field(default=5, ge=1, le=10, description="how many")
        rate: float | None = Field(default=None, gt=0, le=1, description="how fast")
        exact: bool = Field(default=False, description="or not")
        mode: Literal["auto", "slow"] = Field(default="slow", description="which")
        seeds: tuple[int, ...] = Field(default=(0, 1), description="repeats")
        arms: tuple[Literal["a", "b", "c"], ...] = Field(default=("a", "c"), description="rules")
        crew: tuple[Annotated[Any, family], ...] = Field(default=(Fine(depth=6),), description="who")
        way: Annotated[Any, family] = Field(default=Fine(depth=4), description="how")
        name: str = Field(default="x", description="of it")
        given: int = 0

    st.session_state["made"] = spec_form(Recipe, "form", {"given": 7}, named=("count", "way"))


def opened() -> AppTest:
    at = AppTest.from_function(the_form, default_timeout=PATIENCE).run()
    assert not at.exception, at.exception
    return at


def test_a_form_shows_the_defaults_and_makes_the_object():
    at = opened()
    settings = at.session_state["made"]
    assert (settings.count, settings.rate, settings.exact, settings.mode, settings.given) == (5, None, False, "slow", 7)
    assert (settings.seeds, settings.arms, settings.way.depth, settings.name) == ((0, 1), ("a", "c"), 4, "x")
    assert [expander.label for expander in at.expander] == ["Advanced"]
    count = at.number_input(key="form-count")
    assert (count.label, count.min, count.max, count.help) == ("Count", 1, 10, "how many")


def test_changed_fields_are_in_the_object():
    at = opened()
    at.number_input(key="form-count").set_value(8)
    at.number_input(key="form-rate").set_value(0.25)
    at.toggle(key="form-exact").set_value(True)
    at.selectbox(key="form-mode").set_value("auto")
    at.text_input(key="form-seeds").set_value("4, 5,6")
    at.multiselect(key="form-arms").set_value(["b"])
    at.number_input(key="form-way-fine-depth").set_value(9)
    at.run()
    settings = at.session_state["made"]
    assert (settings.count, settings.rate, settings.exact, settings.mode) == (8, 0.25, True, "auto")
    assert (settings.seeds, settings.arms, settings.way.depth) == ((4, 5, 6), ("b",), 9)


def test_members_of_a_family_are_chosen():
    at = opened()
    picked = at.multiselect(key="form-crew")
    assert (picked.label, picked.options, picked.value, picked.help) == (
        "Crew",
        ["Nothing at all", "FiNE"],
        ["fine"],
        "who",
    )
    assert [member.depth for member in at.session_state["made"].crew] == [6]
    picked.set_value(["plain", "fine"]).run()
    crew = at.session_state["made"].crew
    assert [member.kind for member in crew] == ["plain", "fine"] and crew[1].depth == 6
    at.multiselect(key="form-crew").set_value([]).run()
    assert at.session_state["made"].crew == ()


def test_another_member_shows_its_fields():
    at = opened()
    at.selectbox(key="form-way").set_value("plain").run()
    assert at.session_state["made"].way.kind == "plain"
    assert "Nothing to set" in [caption.value.rstrip(".\\") for caption in at.caption]
    assert not [box for box in at.number_input if box.label == "Depth"]


def test_a_wrong_value_is_reported_and_gives_no_object():
    at = opened()
    at.text_input(key="form-seeds").set_value("1, two").run()
    assert at.session_state["made"] is None
    assert "seeds" in at.error[0].value and "two" in at.error[0].value
    at.text_input(key="form-seeds").set_value("1, 2").run()
    assert at.session_state["made"].seeds == (1, 2) and not at.error


def test_steps_follow_the_size_of_a_value():
    assert np.isclose(spec_form._step(3e-4), 1e-5) and spec_form._step(None) == 0.01
