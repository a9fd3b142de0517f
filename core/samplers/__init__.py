"""Samplers: ways to keep `count` molecules of a pool, called as `sampler(pool, scores)`; they give rows of the pool."""

from core.engine.spec import Family
from core.samplers.cover import Cover
from core.samplers.greedy import Greedy
from core.samplers.informative import Informative
from core.samplers.kmeans import KMeans
from core.samplers.maxmin import MaxMin
from core.samplers.stratified import Stratified
from core.samplers.threshold import Threshold
from core.samplers.top import Top
from core.samplers.uncertain import Uncertain
from core.samplers.uniform import Uniform
from core.samplers.varied import Varied

SAMPLERS = Family(
    "sampler",
    Uniform,
    Top,
    Greedy,
    Informative,
    Threshold,
    Stratified,
    KMeans,
    MaxMin,
    Cover,
    Uncertain,
    Varied,
)
