"""Baselines: models without a network. `baseline(features, labels, kind, seed, report)` returns a predict function."""

from core.engine.spec import Family
from core.models.baselines.gradient_boosting import GradientBoosting
from core.models.baselines.random_forest import RandomForest
from core.models.baselines.support_vectors import SupportVectors

BASELINES = Family("baseline", SupportVectors, GradientBoosting, RandomForest)
