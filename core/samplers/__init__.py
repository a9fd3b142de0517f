"""Samplers: ways to keep `count` molecules of a pool, called as `sampler(pool, scores)`; they give rows of the pool."""

from core.samplers.greedy import Greedy
from core.samplers.informative import Informative
from core.samplers.top import Top
from core.samplers.uniform import Uniform
from core.spec import Family

SAMPLERS = Family("sampler", Uniform, Top, Greedy, Informative)
