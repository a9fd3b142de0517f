"""A step is judged by both of its checks, and running out of memory is no reason to skip one."""

import pytest
import torch

from core.influence import directional
from core.influence.directional import Step


@pytest.mark.parametrize(("change", "off", "error"), [(0.0186, 0.001, 0.0186), (0.001, 0.02, 0.02), (0.03, None, 0.03)])
def test_the_worse_check_decides(change: float, off: float | None, error: float) -> None:
    assert Step(1.0, "one-sided", change, off, off).error == error


def test_running_out_of_memory_is_not_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.influence.view import parameter_view
    from core.models.backbones import Untrained
    from core.models.predictor import Predictor

    predictor = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"])
    seen = parameter_view(predictor, "last layer")
    pilot = [seen.inputs(predictor.encode(["CCO", "c1ccccc1", "CCCCN"]))]
    slopes = directional._slopes

    def full(seen, vector, size, route, *rest):
        if route == "forward-mode":
            raise torch.OutOfMemoryError("no room")
        return slopes(seen, vector, size, route, *rest)

    monkeypatch.setattr(directional, "_slopes", full)
    with pytest.raises(torch.OutOfMemoryError):
        directional.choose_step(seen, torch.ones(seen.d), pilot)
