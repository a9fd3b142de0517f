"""Samplers: strategies to select `count` molecules of a pool; `sampler(pool, scores)` returns rows of the pool."""

from core.engine.spec import Family
from core.selection.coverage import Coverage
from core.selection.greedy import Greedy
from core.selection.informative import InformationGain
from core.selection.kmeans import KMeans
from core.selection.maxmin import MaxMin
from core.selection.mmr import MMR
from core.selection.stratified import Stratified
from core.selection.threshold import Threshold
from core.selection.top import Top
from core.selection.uncertain import Uncertainty
from core.selection.uniform import Uniform

SAMPLERS = Family(
    "sampler",
    Uniform,
    Top,
    Greedy,
    InformationGain,
    Threshold,
    Stratified,
    KMeans,
    MaxMin,
    Coverage,
    Uncertainty,
    MMR,
)
