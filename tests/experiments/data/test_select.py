"""Select: rows of the pool in the sampler's order, with where they come from."""

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


def test_keeps_the_samplers_rows_and_says_where_they_come_from(pool):
    recipe = Select(POOL, Top(count=8), SCORES)
    kept = recipe.make(Report(), pool, scores_of(pool))
    assert list(kept.smiles) == list(pool.smiles[:8]) and kept.unit == ("atoms",)
    about = json.loads(json.dumps(kept.provenance))["selection"]
    assert about["sampler"] == {"kind": "top", "count": 8, "worst": False, "cost": ""} and about["scores"] == SCORES.key
    assert about["pool"] == pool.digest and (about["kept"], about["of"]) == (8, 12)
    assert about["harmful_kept"] == 2 and about["predicted_change"] == pytest.approx(np.linspace(-1, 1, 12)[:8].sum())


def test_random_rows_need_no_scores(pool):
    kept = Select(POOL, Uniform(count=5, seed=3)).make(Report(), pool)
    assert len(kept) == 5 and kept.provenance["selection"]["scores"] is None


@pytest.mark.parametrize("sampler", [Top(), Greedy(), KMeans(space="last layer")], ids=str)
def test_scores_that_are_needed_are_asked_for_at_once(sampler):
    with pytest.raises(BadInput, match="got no scores; give `scores` of this pool, or use uniform"):
        Select(POOL, sampler)


def test_scores_of_another_pool_are_refused(pool):
    with pytest.raises(BadInput, match="the scores are of another pool"):
        Select(POOL, Top(count=3), SCORES).make(Report(), pool.take(np.arange(11)), scores_of(pool))


@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_recipe_survives_json_and_names_its_parts(kind):
    recipe = Select(POOL, SAMPLERS[kind](count=4), SCORES)
    assert read_spec_json(recipe.text).key == recipe.key
    assert set(recipe.parts()) == {"pool", "scores"} and set(Select(POOL).parts()) == {"pool"}
    assert recipe.title == f"4 of the pool by {recipe.sampler.title}"
