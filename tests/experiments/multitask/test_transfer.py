"""What a trunk is worth on a small table, and whether variety or number makes it so."""

import dataclasses

import numpy as np
import pytest

from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import BadInput, read_spec_json
from core.engine.store import Store
from core.experiments import Ablation, FineTune, Load, Subsample, Transfer, import_files, split_table
from core.experiments.multitask.ablation import summarize_ablation
from core.experiments.multitask.transfer import find_sources
from core.models.backbones import Gnn
from core.models.methods import Full, Gradual, Head
from core.results.mixture_text import size_means
from core.stats.formatting import format_with_sd
from tests.experiments.multitask.test_multitask import SMALL, Given, small


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("transfer"))


def fit(**changes: object) -> FineTune:
    train, valid, test, _ = split_table(Load("bundled:hydration"), seed=3, train=60, valid=20, pool=20, test=None)
    return FineTune(
        train, valid, test, **{"backbone": SMALL, "features": "none", "steps": 4, "evaluations": 1} | changes
    )


def test_fewer_rows_are_among_the_more_and_parts_keep_the_same_tasks(store: Store) -> None:
    table = Given(tuple("C" * n for n in range(1, 30)))
    made = {size: set(make(Subsample(table, size, seed=2), store, Report()).smiles) for size in (3, 10)}
    assert made[3] < made[10] and len(made[3]) == 3
    assert set(make(Subsample(table, 3, seed=3), store, Report()).smiles) != made[3]
    assert len(make(Subsample(table), store, Report())) == 29
    with pytest.raises(BadInput, match="has 29 measured rows, 40 are asked for"):
        make(Subsample(table, 40), store, Report())
    assert len(make(Subsample(table, 40, lenient=True), store, Report())) == 29
    with pytest.raises(BadInput, match="has 1 tasks, 2 are asked for"):
        make(Subsample(table, 3, columns=2), store, Report())


def test_every_start_learns_the_same_few_molecules(store: Store) -> None:
    recipe = Transfer(
        fit(), starts=(SMALL, small(epochs=1)), names=("random", "trunk"), methods=(Full(), Head(), Gradual()),
        sizes=(20, 40), seeds=(0, 1),
    )  # fmt: skip
    recipe = import_files(recipe, store.files)
    assert len(recipe.runs) == 3 * 2 * (2 * 3 + 1) and recipe.arms[0] == "random, full"
    for size in (20, 40, 0):
        tables = {
            (run.train.key, run.valid.key) for (_, at, seed), run in recipe.runs.items() if at == size and not seed
        }
        assert len(tables) == 1
    made = make(recipe, store, Report())
    points = {(one["arm"], one["size"]): one for one in made.record["points"]}
    assert len(points) == 3 * 7 and {one["rows"] for one in points.values()} == {20, 40, 60}
    assert (
        made.record["baselines"] == ["support vectors"]
        and len(made.record["methods"]) == 3
        and not made.record["failed"]
    )
    for row in made.record["differences"]:
        ours, theirs = (points[name, row["size"]]["rmse"]["values"] for name in (row["arm"], "random, full"))
        assert row["mean"] == pytest.approx(np.subtract(ours, theirs).mean(), rel=1e-6)
    assert "“trunk, full” against “random, full”" in made.record["verdict"] and "head" not in made.record["verdict"]
    alone = dataclasses.replace(recipe, starts=recipe.starts[:1], names=("random",))
    assert alone.reported_arms == ["random, full", "random, head", "random, gradual unfreezing"]
    beside = dataclasses.replace(recipe, fit=dataclasses.replace(recipe.fit, features="both"))
    assert beside.title == recipe.title.replace(", 2 seeds", ", descriptors and fingerprints beside, 2 seeds")
    assert read_spec_json(recipe.text).key == recipe.key
    random = [run.backbone.seed for (arm, _, _), run in recipe.runs.items() if arm == "random, full"]
    assert set(random) == {0, 1}, "random weights are drawn anew"
    assert any("“trunk” was trained once: the intervals know" in words for words in made.record["notes"])
    sizes = size_means(made.record).set_index("arm")
    assert list(sizes) == ["20", "40", "60"] and list(sizes.index) == list(recipe.arms)
    told = points["trunk, head", 40]["rmse"]
    assert sizes.loc["trunk, head", "40"] == format_with_sd(told["mean"], told["sd"])
    assert made.record["verdict"] in made.text() and "differences" in made.text()


def test_a_trunk_is_trained_anew_where_that_noise_is_asked_for() -> None:
    recipe = Transfer(fit(), starts=(SMALL, small(epochs=1)), names=("random", "trunk"), sizes=(20,), seeds=(0, 1))
    anew = dataclasses.replace(recipe, retrain_backbones=True)
    trunks = {one.retrain_backbones: {run.backbone.key for (arm, _, _), run in one.runs.items() if arm == "trunk"}
              for one in (recipe, anew)}  # fmt: skip
    assert len(trunks[False]) == 1 and len(trunks[True]) == 2 and trunks[False] < trunks[True]
    assert recipe.trained_once() and not anew.trained_once()


def test_trunks_stand_against_those_before_them_by_the_same_method() -> None:
    starts = (SMALL, small(epochs=1), small(epochs=2), small(epochs=3))
    recipe = Transfer(
        fit(), starts, ("random", "one", "two", "three"), methods=(Full(), Head()), sizes=(20,), seeds=(0,)
    )
    beside = [pair for pair in recipe.pairs if pair[1] != "random, full"]
    pairs = [("two", "one"), ("three", "one"), ("three", "two")]
    assert beside == [tuple(f"{name}, {by}" for name in pair) for by in ("full", "head") for pair in pairs]
    assert {arm for arm, other in recipe.pairs if other == "random, full"} == set(recipe.arms) - {"random, full"}
    first = Transfer(fit(), starts[1:3], ("one", "two"), sizes=(20,), seeds=(0,))
    assert first.pairs.count(("two", "one")) == 1


def test_a_table_that_is_only_kept_clear_of_was_not_learned_from() -> None:
    trunk = small(epochs=1)
    own, other = trunk.members[0].train, Load("bundled:drugs")
    kept_clear = dataclasses.replace(trunk.members[0], tests=(other,), valids=(other,))
    clear = dataclasses.replace(trunk, members=(kept_clear, *trunk.members[1:]))
    assert (
        other.key not in find_sources(clear)
        and find_sources(clear) == find_sources(trunk) >= find_sources(own) != set()
    )
    assert find_sources(
        dataclasses.replace(trunk, as_long_as=(dataclasses.replace(kept_clear, train=other),))
    ) == find_sources(trunk)


def test_variety_and_number_are_told_apart(store: Store) -> None:
    multi = small(batch_size=16)
    recipe = import_files(Ablation(multi, fit(), totals=(16, 48), columns=1, steps=3, seeds=(0, 1)), store.files)
    assert len(recipe.trunks) == 2 * 2 * 3 and len(recipe.runs) == 2 * 2 * 3 + 2
    for (names, total, _), trunk in recipe.trunks.items():
        assert sum(one.train.size for one in trunk.members) == total and len(trunk.members) == len(names)
    made = make(recipe, store, Report())
    cells = {(one["families"], one["molecules"]): one for one in made.record["cells"]}
    assert set(cells) == {(0, 0), (1, 16), (1, 48), (2, 16), (2, 48)}
    assert cells[1, 16]["trainings"] == 4 and cells[2, 16]["trainings"] == 2
    mine = made.table[(made.table["families"] == 1) & (made.table["molecules"] == 16)]["error"]
    assert cells[1, 16]["mean"] == pytest.approx(mine.mean())
    assert (
        set(made.record["effects"]) == {"molecules", "families"} and "twice as many" in made.record["verdict"].lower()
    )
    names = {one.called for one in multi.members}
    assert set(made.record["presence"]) == names and {one["tables"] for one in made.record["sets"]} >= names
    assert [one["trainings"] for one in made.record["sets"]] == [4, 4, 4]
    few = made.table[made.table["families"] > 0].pivot(index=["molecules", "seed"], columns="tables", values="error")
    (blend,) = set(few) - names
    apart = (few[blend] - few[sorted(names)].mean(axis=1)).mean()
    assert made.record["blended"]["all"]["mean"] == pytest.approx(apart)
    assert all(words in made.text() for words in (*names, "none, random weights", "the best of its tables alone"))


def test_the_verdict_names_the_table_that_does_it() -> None:
    better, level, worse = ({"mean": m, "low": m - 0.01, "high": m + 0.01} for m in (-0.05, 0.0, 0.02))
    said = summarize_ablation(
        {"molecules": level, "families": better},
        {"zinc": better, "qm9": level},
        {"all": better, "best": worse},
        "rmse",
        "logD",
    )
    assert "one table more for as many molecules helps (RMSE -0.05 logD, -0.06 to -0.04)" in said
    assert "zinc helps (-0.05 logD" in said and "qm9 makes no difference beyond the noise" in said
    assert "a blend is better than the mean of them" in said and "worse than the best of them" in said


def test_bad_recipes_are_refused() -> None:
    spec = small()
    with pytest.raises(BadInput, match="`sizes` wants different values"):
        Transfer(fit(), sizes=(20, 20))
    with pytest.raises(BadInput, match="2 or more"):
        Transfer(fit(), sizes=(1,))
    with pytest.raises(BadInput, match="wants a recipe of kind 'finetune'"):
        Ablation(spec, Transfer(fit()).runs["support vectors", 50, 0])
    with pytest.raises(BadInput, match="two molecules a table"):
        Ablation(spec, fit(), totals=(3,))
    with pytest.raises(BadInput, match="at least two members"):
        Ablation(dataclasses.replace(spec, members=spec.members[:1]), fit())
    with pytest.raises(BadInput, match="different `names`"):
        Transfer(fit(), starts=(SMALL, Gnn(width=12, depth=2, walk=4, eigenvectors=2, seed=1)))


def test_few_molecules_are_read_as_many_times_as_the_least_steps_want() -> None:
    recipe = Transfer(fit(steps=None, epochs=3, batch_size=16), sizes=(20, 40), seeds=(0,), least=12)
    passes = {size: run.epochs for (arm, size, _), run in recipe.runs.items() if arm != "support vectors"}
    assert passes == {20: 6, 40: 4, 0: 3}
