"""Solvers: ways to solve (curvature) x = vector, knowing the curvature only by `curvature @ v`."""

from core.solvers.cg import CG
from core.solvers.dual import Dual
from core.solvers.exact import Exact
from core.solvers.lissa import LiSSA
from core.spec import Family

SOLVERS = Family("solver", CG, LiSSA, Dual, Exact)
