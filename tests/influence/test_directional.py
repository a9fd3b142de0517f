"""The error of a finite-difference step; running out of memory is not hidden by a warning."""

import pytest
import torch

from core.influence import directional
from core.influence.directional import Step


@pytest.mark.parametrize(("change", "off", "error"), [(0.0186, 0.001, 0.0186), (0.001, 0.02, 0.02), (0.03, None, 0.03)])
def test_the_error_is_the_larger_of_both_checks(change: float, off: float | None, error: float) -> None:
    assert Step(1.0, "one-sided", change, off, off).error == error


def test_running_out_of_memory_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.influence.view import parameter_view
    from core.models.backbones import Untrained
    from core.models.predictor import Predictor

    predictor = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"])
    view = parameter_view(predictor, "last layer")
    pilot = [view.inputs(predictor.encode(["CCO", "c1ccccc1", "CCCCN"]))]
    slopes = directional._slopes

    def run_out_of_memory(view, vector, size, route, *rest):
        if route == "forward-mode":
            raise torch.OutOfMemoryError("out of memory")
        return slopes(view, vector, size, route, *rest)

    monkeypatch.setattr(directional, "_slopes", run_out_of_memory)
    with pytest.raises(torch.OutOfMemoryError):
        directional.choose_step(view, torch.ones(view.d), pilot)
