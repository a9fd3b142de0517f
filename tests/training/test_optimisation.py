"""Optimiser settings in specs of training, and the plan of the loop."""

import inspect
from typing import Any

import pytest

from core.engine.form import describe_fields
from core.engine.spec import BadInput, to_json
from core.experiments import Adapt, BuildCorpus, FineTune, Load, MixtureTable, Multitask, Pretrain, split_table

SHARED = {"batch_size": 32, "learning_rate": None, "precision": "auto", "seed": 0}
SCHEDULED = SHARED | {"steps": None, "evaluations": 20, "weight_decay": 0.01, "warmup": 0.1}
SUPERVISED = SCHEDULED | {"clip": 1.0, "patience": 0, "ema_decay": 0.995}
TABLES = split_table(Load("bundled:solubility"))
SPECS = {
    "adapt": (Adapt(TABLES[0]), SHARED | {"epochs": 10, "patience": 0}),
    "finetune": (FineTune(*TABLES), SUPERVISED | {"epochs": None}),
    "multitask": (
        Multitask((MixtureTable(*TABLES),)),
        SUPERVISED | {"epochs": 30, "batch_size": 128, "learning_rate": 1e-3},
    ),
    "pretrain": (
        Pretrain(BuildCorpus(files=("a.smi",))),
        SCHEDULED | {"steps": 8000, "evaluations": 40, "batch_size": 128, "learning_rate": 1e-3, "warmup": 0.05},
    ),
}


@pytest.mark.parametrize("kind", SPECS)
def test_a_spec_has_its_optimiser_settings(kind: str) -> None:
    spec, settings = SPECS[kind]
    fields = to_json(spec)
    assert {name: fields[name] for name in settings} == settings
    assert not (set(SUPERVISED) | {"epochs"}) - set(settings) & set(fields)


@pytest.mark.parametrize("kind", SPECS)
def test_optimiser_settings_are_keyword_only_and_last(kind: str) -> None:
    spec, _ = SPECS[kind]
    names = [field.name for field in describe_fields(type(spec))]
    assert names == list(inspect.signature(type(spec)).parameters)
    kinds = {name: one.kind for name, one in inspect.signature(type(spec)).parameters.items()}
    assert all(kinds[name] is inspect.Parameter.KEYWORD_ONLY for name in SHARED)
    with pytest.raises(BadInput):
        type(spec)(*[0] * len(names))


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("adapt", {"epochs": 10, "steps": None, "learning_rate": 5e-4, "clip": 1.0, "weight_decay": 0.01}),
        ("finetune", {"epochs": 100, "steps": None, "learning_rate": 3e-4, "ema_decay": 0.995}),
        ("multitask", {"epochs": 30, "evaluations": 30, "learning_rate": 1e-3, "patience": 0}),
        ("pretrain", {"epochs": 1, "steps": 8000, "evaluations": 40, "ema_decay": 0.0, "patience": 0}),
    ],
)
def test_a_plan_uses_the_advice_by_default(kind: str, wanted: dict[str, Any]) -> None:
    plan = SPECS[kind][0].build_plan(320, 256, "float32")
    assert {name: getattr(plan, name) for name in wanted} == pytest.approx(wanted)
    assert SPECS[kind][0].build_plan(320, 256, "float32", steps=7).steps == 7


@pytest.mark.parametrize("kind", ["multitask", "pretrain"])
def test_a_learning_rate_without_advice_is_required(kind: str) -> None:
    spec, _ = SPECS[kind]
    with pytest.raises(BadInput, match=f"{kind}.learning_rate: input should be a valid number; got None"):
        type(spec)(next(iter(spec.parts().values())), learning_rate=None)
