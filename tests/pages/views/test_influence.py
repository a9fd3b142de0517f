"""The page Influence."""

import pytest

from core.experiments import Influence
from tests.pages import filled_store
from tests.pages.conftest import find_button, without_exception


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_scores_target_the_validation_set(open_page, cache, asked):
    at = open_page("influence", fit=filled_store.FIT.key)
    without_exception(find_button(at, "Score the candidates").click().run())
    (spec,) = asked
    assert isinstance(spec, Influence) and spec.fit == filled_store.FIT
    assert spec.target == filled_store.VALID and spec.pool == filled_store.POOL
