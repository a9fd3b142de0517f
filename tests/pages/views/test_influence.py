"""The page Influence."""

import pytest

from core.experiments import Influence
from tests.pages import stage
from tests.pages.conftest import button, checked


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_scores_are_asked_for_with_the_validation_part(open_page, cache, asked):
    at = open_page("influence", fit=stage.FIT.key)
    checked(button(at, "Score the candidates").click().run())
    (spec,) = asked
    assert isinstance(spec, Influence) and spec.fit == stage.FIT
    assert spec.target == stage.VALID and spec.pool == stage.POOL
