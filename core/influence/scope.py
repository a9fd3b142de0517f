"""Which weights an influence is over, and which models have a gradient to take one of."""

from typing import TYPE_CHECKING

from core.engine.spec import BadInput, Spec
from core.results.fit import Fit

if TYPE_CHECKING:
    from core.models.predictor import Predictor


def weights_in_scope(scope: str, predictor: "Predictor", fit: Fit) -> list[str] | None:
    """The weights that training moved, for the scope "all": those that still require a gradient."""
    if scope != "all":
        return None
    if fit.record["method"]["kind"] == "head":
        predictor.backbone.requires_grad_(False)
    return [name for name, weight in predictor.named_parameters() if weight.requires_grad]


def check_gradient(fit: Spec[Fit]) -> None:
    """Raises `BadInput` where a recipe yields a model without weights that a gradient could follow."""
    if not fit.has_gradient:
        one = "an" if fit.kind[0] in "aeiou" else "a"
        raise BadInput(f"{one} {fit.kind} has no gradient, so that no influence can be taken of it; give a fine-tuning")
