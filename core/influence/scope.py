"""Weights that an influence considers, and which models have gradients at all."""

from typing import TYPE_CHECKING

from core.engine.spec import BadInput, Spec
from core.results.fit import Fit

if TYPE_CHECKING:
    from core.models.predictor import Predictor


def weights_in_scope(scope: str, predictor: "Predictor", fit: Fit) -> list[str] | None:
    """Names of the trained weights for the scope "all": those that require a gradient; None for other scopes."""
    if scope != "all":
        return None
    if fit.record["method"]["kind"] == "head":
        predictor.backbone.requires_grad_(False)
    return [name for name, weight in predictor.named_parameters() if weight.requires_grad]


def check_gradient(fit: Spec[Fit]) -> None:
    """Raises `BadInput` where a spec yields a model without gradients, such as a baseline or an ensemble."""
    if not fit.has_gradient:
        article = "an" if fit.kind[0] in "aeiou" else "a"
        raise BadInput(f"{article} {fit.kind} has no gradient, which influence needs; give a fine-tuning")
