"""Solvers: ways to solve (curvature) x = vector, knowing the curvature only by `curvature @ v`."""

from core.engine.spec import Family
from core.solvers.auto import Auto
from core.solvers.cg import CG
from core.solvers.dual import Dual
from core.solvers.exact import Exact
from core.solvers.identity import Identity
from core.solvers.lissa import LiSSA

SOLVERS = Family("solver", Auto, Dual, CG, LiSSA, Exact, Identity)
