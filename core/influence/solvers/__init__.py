"""Solvers of (curvature) x = vector, where the curvature is given by its products `curvature @ v`."""

from core.engine.spec import Family
from core.influence.solvers.auto import Auto
from core.influence.solvers.cg import CG
from core.influence.solvers.dual import Dual
from core.influence.solvers.exact import Exact
from core.influence.solvers.gradient_similarity import GradientSimilarity
from core.influence.solvers.lissa import LiSSA

SOLVERS = Family("solver", Auto, Dual, CG, LiSSA, Exact, GradientSimilarity)
