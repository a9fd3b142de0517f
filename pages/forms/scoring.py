"""The form of influence scores: solver, damping, weights, training seeds; and gradient similarity for comparison."""

import dataclasses

import streamlit as st

from core.engine.spec import Spec
from core.experiments import Influence, SeedAverage
from core.influence.solvers import GradientSimilarity
from core.results.fit import Fit
from pages.forms.spec_form import spec_form
from pages.widgets.run_page import submit_and_show


def choose_scoring(fit: Spec[Fit], pool: Spec) -> Influence | SeedAverage | None:
    """Scores of a pool for a model's validation set, over one or several seeds; nothing while a value is wrong."""
    spec = spec_form(
        Influence, "influence", {"fit": fit, "pool": pool, "target": fit.valid}, ("solver", "damping", "scope")
    )
    fits = st.number_input(
        "Training seeds",
        1,
        20,
        1,
        key="score-fits",
        disabled=not fit.repeatable,
        help="Scores depend on the training seed. With several, the model is trained again with other seeds; the "
        "mean score is shown, with an interval that covers seed and validation-set noise.",
    )
    return spec if spec is None or fits == 1 else SeedAverage(spec, tuple(fit.seed + k for k in range(fits)))


def ask_gradient_similarity(spec: Influence | SeedAverage) -> None:
    """A button that submits the same scores without curvature and with the test set as target."""
    if st.button(
        "Gradient similarity, test set as target",
        icon=":material/compare:",
        help="For comparison only. The score is the dot product of a candidate’s loss gradient with the gradient of "
        "the test loss, without curvature (TracIn: Pruthi et al. 2020, arXiv:2002.08484). Two things make it "
        "misleading. Compounds chosen by the test set leak it, so the test error of a model trained on them is "
        "optimistic. And without the inverse Hessian, directions that the training set already fixes count as much as "
        "unknown ones.",
    ):
        scores = spec.scores if isinstance(spec, SeedAverage) else spec
        submit_and_show(dataclasses.replace(scores, solver=GradientSimilarity(), target=scores.fit.test))
