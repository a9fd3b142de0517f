"""Select: rows of the pool in the order of the sampler, and their provenance."""

import json

import numpy as np
import pandas as pd
import pytest

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, read_spec_json
from core.experiments.data.load import Load
from core.experiments.data.select import Select
from core.experiments.data.split import split_table
from core.experiments.influence.influence import Influence
from core.experiments.training.finetune import FineTune
from core.results.scores import Scores
from core.selection import SAMPLERS, Greedy, KMeans, Top, Uniform

TRAIN, VALID, TEST, POOL = split_table(Load("bundled:solubility"), valid=0.2, test=0.1, pool=0.3)
SCORES = Influence(FineTune(TRAIN, VALID, TEST), POOL, VALID)


@pytest.fixture
def pool() -> Dataset:
    return Dataset(np.array(["C" * k for k in range(1, 13)], object), np.arange(12.0)[:, None], ("size",), ("atoms",))


def scores_of(pool: Dataset) -> Scores:
    delta = np.linspace(-1, 1, len(pool))
    table = pd.DataFrame({"smiles": pool.smiles, "delta_loss": delta, "benefit": -delta})
    return Scores(table, np.zeros(1), {}, {"digests": {"pool": pool.digest}})


def test_selected_rows_and_provenance(pool):
    spec = Select(POOL, Top(count=8), SCORES)
    selected = spec.make(Report(), pool, scores_of(pool))
    assert list(selected.smiles) == list(pool.smiles[:8]) and selected.unit == ("atoms",)
    note = json.loads(json.dumps(selected.provenance))["selection"]
    assert note["sampler"] == {"kind": "top", "count": 8, "worst": False, "cost": ""} and note["scores"] == SCORES.key
    assert note["pool"] == pool.digest and (note["kept"], note["of"]) == (8, 12)
    assert note["harmful_kept"] == 2 and note["predicted_change"] == pytest.approx(np.linspace(-1, 1, 12)[:8].sum())


def test_uniform_sampler_needs_no_scores(pool):
    selected = Select(POOL, Uniform(count=5, seed=3)).make(Report(), pool)
    assert len(selected) == 5 and selected.provenance["selection"]["scores"] is None


@pytest.mark.parametrize("sampler", [Top(), Greedy(), KMeans(space="last layer")], ids=str)
def test_missing_scores_are_refused(sampler):
    with pytest.raises(
        BadInput, match="needs influence scores and got none; give `scores` of this pool, or use uniform"
    ):
        Select(POOL, sampler)


def test_scores_of_another_pool_are_refused(pool):
    with pytest.raises(BadInput, match="the scores are of another pool"):
        Select(POOL, Top(count=3), SCORES).make(Report(), pool.take(np.arange(11)), scores_of(pool))


@pytest.mark.parametrize("kind", SAMPLERS)
def test_json_round_trip_and_parts(kind):
    spec = Select(POOL, SAMPLERS[kind](count=4), SCORES)
    assert read_spec_json(spec.text).key == spec.key
    assert set(spec.parts()) == {"pool", "scores"} and set(Select(POOL).parts()) == {"pool"}
    assert spec.title == f"4 of the pool by {spec.sampler.title}"
