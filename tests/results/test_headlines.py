"""Headlines of runs, from their summaries."""

import inspect

import pytest

from core import experiments
from core.data.audit import Findings
from core.data.dataset import Dataset
from core.engine.product import NO_HEADLINE, headline_of
from core.engine.spec import Spec
from core.models.backbones.checkpoint import Checkpoint
from core.models.multitask_model import MultitaskModel
from core.results.comparison import Comparison
from core.results.datamodel_check import DatamodelCheck, SubsetLosses
from core.results.fit import Fit
from core.results.predictions import Predictions
from core.results.scores import Scores
from core.results.tabular import MixtureComparison

OURS = [kind for kind, cls in Spec.kinds.items() if cls.__module__.startswith(experiments.__name__)]
CARDS = [{"means": {"test": {"mae_sd": 0.341}}}, {"means": {"test": {"auroc": 0.8316}}}]
FIT = {"tasks": ["logS", "b"], "unit": ["logM", ""], "metrics": {"test": {"logS": {"rmse": 0.61234}}}}
ARMS = [{"name": name, "rmse": {"mean": mean, "sd": 0.01}} for name, mean in (("top", 0.7), ("none", 0.6))]
PREDICTED = {"molecules": 5, "unit": ["logM"], "kinds": ["regression"]}


@pytest.mark.parametrize("kind", OURS)
def test_every_product_implements_the_protocol(kind: str) -> None:
    product = Spec.kinds[kind].product
    assert all(callable(getattr(product, name)) for name in ("save", "load", "summary", "headline"))
    assert isinstance(product.headline_keys, tuple)
    assert isinstance(inspect.getattr_static(product, "headline"), staticmethod)
    assert headline_of(product, {}) == NO_HEADLINE


@pytest.mark.parametrize(
    ("product", "summary", "headline"),
    [
        (Fit, FIT, "test RMSE 0.612 logM (+1 tasks)"),
        (Fit, FIT | {"intervals": {"logS": {"rmse": [0.5, 0.7]}}}, "test RMSE 0.612 (0.500 to 0.700) logM (+1 tasks)"),
        (MultitaskModel, {"members": CARDS}, "test MAE 0.341 sd, AUROC 0.832"),
        (MultitaskModel, {"members": [CARDS[1] | {"means_intervals": {"auroc": [0.79, 0.87]}}]},
         "test AUROC 0.832 (0.790 to 0.870)"),
        (MixtureComparison, {"members": CARDS}, "2 tables"),
        (Scores, {"members": ["a", "b"], "helpful": 3, "harmful": 4}, "3 help, 4 harm"),
        (Scores, {"helpful": 3, "harmful": 4, "converged": False}, "3 help, 4 harm, not converged"),
        (DatamodelCheck, {"ways": [{"spearman": 0.2}, {"spearman": 0.64}], "subsets": 24},
         "ρ 0.640 with 24 retrainings"),
        (SubsetLosses, {"subsets": 1024}, "1,024 retrainings"),
        (Comparison, {"arms": ARMS}, "best arm: none, RMSE 0.600 ± 0.010"),
        (Predictions, PREDICTED | {"width": [None]}, "5 molecules"),
        (Predictions, PREDICTED | {"width": [{"median": 0.5}]}, "5 molecules, ± 0.500 logM"),
        (Findings, {"findings": [{"level": "note"}, {"level": "fault"}, {"level": "note"}]}, "1 fault, 2 notes"),
        (Checkpoint, {"held_out": {"token_loss": 0.5, "property_error": 0.25}}, "token loss 0.500, property error 0.250"),
        (Checkpoint, {"perplexity": 2.0, "property_error": 0.25}, "perplexity 2.00, property error 0.250"),
        (Dataset, {"rows": 1274}, "1,274 molecules"),
    ],
)  # fmt: skip
def test_headline_is_the_main_number(product: type, summary: dict, headline: str) -> None:
    assert headline_of(product, summary) == headline


@pytest.mark.parametrize(
    ("product", "summary"),
    [
        (None, {"rows": 5}),
        (Fit, {"metrics": {}}),
        (Fit, {"tasks": ["a"], "unit": [""], "metrics": None}),
        (Fit, {"tasks": ["a"], "unit": [""], "metrics": {"test": {"a": {"mae": 1.0}}}}),
        (Comparison, {"arms": []}),
        (Scores, {"helpful": None}),
        (DatamodelCheck, {"subsets": 3}),
    ],
)
def test_summary_without_the_keys_has_no_headline(product: type | None, summary: dict) -> None:
    assert headline_of(product, summary) == NO_HEADLINE
