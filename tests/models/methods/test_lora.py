"""LoRA: which matrices are adapted."""

import pytest

from core.engine.spec import BadInput
from core.models.backbones import Untrained
from core.models.methods import LoRA, peft_adapters
from core.models.predictor import Predictor


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("query", "attention.self.query"),
        ("attention output", "attention.output.dense"),
        ("feed-forward in", "intermediate.dense"),
        ("feed-forward out", "output.dense"),
    ],
)
def test_a_target_adapts_one_matrix_per_layer(target: str, path: str) -> None:
    predictor = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"])
    LoRA(rank=2, targets=(target,))(predictor)
    weights = peft_adapters.adapter_weights(predictor.backbone)
    expected = {f"model.encoder.layer.{n}.{path}.lora_{m}.default.weight" for n in range(3) for m in "AB"}
    assert set(weights) == expected


def test_default_targets_are_those_of_attention() -> None:
    predictors = [Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"]) for _ in range(2)]
    LoRA(rank=2)(predictors[0])
    LoRA(rank=2, targets=("query", "key", "value", "attention output"))(predictors[1])
    first, second = (set(peft_adapters.adapter_weights(one.backbone)) for one in predictors)
    assert first == second and len(first) == 3 * 4 * 2
    with pytest.raises(BadInput, match="targets"):
        LoRA(targets=("dense",))
