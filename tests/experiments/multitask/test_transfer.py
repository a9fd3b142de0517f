"""Learning curves of a small table, and more tables against more molecules."""

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
from tests.experiments.multitask.test_multitask import SMALL, InlineTable, small


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("transfer"))


def fit(**changes: object) -> FineTune:
    train, valid, test, _ = split_table(Load("bundled:hydration"), seed=3, train=60, valid=20, pool=20, test=None)
    return FineTune(
        train, valid, test, **{"backbone": SMALL, "features": "none", "steps": 4, "evaluations": 1} | changes
    )


def test_subsamples_are_nested(store: Store) -> None:
    table = InlineTable(tuple("C" * n for n in range(1, 30)))
    samples = {size: set(make(Subsample(table, size, seed=2), store, Report()).smiles) for size in (3, 10)}
    assert samples[3] < samples[10] and len(samples[3]) == 3
    assert set(make(Subsample(table, 3, seed=3), store, Report()).smiles) != samples[3]
    assert len(make(Subsample(table), store, Report())) == 29
    with pytest.raises(BadInput, match="has 29 measured rows, 40 are requested"):
        make(Subsample(table, 40), store, Report())
    assert len(make(Subsample(table, 40, lenient=True), store, Report())) == 29
    with pytest.raises(BadInput, match="has 1 tasks, 2 are requested"):
        make(Subsample(table, 3, columns=2), store, Report())


def test_backbones_train_on_the_same_molecules(store: Store) -> None:
    spec = Transfer(
        fit(), starts=(SMALL, small(epochs=1)), names=("random", "shared"), methods=(Full(), Head(), Gradual()),
        sizes=(20, 40), seeds=(0, 1),
    )  # fmt: skip
    spec = import_files(spec, store.files)
    assert len(spec.runs) == 3 * 2 * (2 * 3 + 1) and spec.arms[0] == "random, full"
    for size in (20, 40, 0):
        tables = {(run.train.key, run.valid.key) for (_, at, seed), run in spec.runs.items() if at == size and not seed}
        assert len(tables) == 1
    result = make(spec, store, Report())
    points = {(one["arm"], one["size"]): one for one in result.record["points"]}
    assert len(points) == 3 * 7 and {one["rows"] for one in points.values()} == {20, 40, 60}
    assert (
        result.record["baselines"] == ["support vectors"]
        and len(result.record["methods"]) == 3
        and not result.record["failed"]
    )
    for row in result.record["differences"]:
        ours, theirs = (points[name, row["size"]]["rmse"]["values"] for name in (row["arm"], "random, full"))
        assert row["mean"] == pytest.approx(np.subtract(ours, theirs).mean(), rel=1e-6)
    assert (
        "“shared, full” against “random, full”" in result.record["verdict"] and "head" not in result.record["verdict"]
    )
    single_start = dataclasses.replace(spec, starts=spec.starts[:1], names=("random",))
    assert single_start.reported_arms == ["random, full", "random, head", "random, gradual unfreezing"]
    with_features = dataclasses.replace(spec, fit=dataclasses.replace(spec.fit, features="both"))
    assert with_features.title == spec.title.replace(", 2 seeds", ", with descriptors and fingerprints, 2 seeds")
    assert read_spec_json(spec.text).key == spec.key
    random = [run.backbone.seed for (arm, _, _), run in spec.runs.items() if arm == "random, full"]
    assert set(random) == {0, 1}, "random weights change with the seed"
    assert any("“shared” was trained once: the intervals cover" in words for words in result.record["notes"])
    sizes = size_means(result.record).set_index("arm")
    assert list(sizes) == ["20", "40", "60"] and list(sizes.index) == list(spec.arms)
    rmse = points["shared, head", 40]["rmse"]
    assert sizes.loc["shared, head", "40"] == format_with_sd(rmse["mean"], rmse["sd"])
    assert result.record["verdict"] in result.text() and "differences" in result.text()


def test_shared_backbones_can_be_retrained_per_seed() -> None:
    spec = Transfer(fit(), starts=(SMALL, small(epochs=1)), names=("random", "shared"), sizes=(20,), seeds=(0, 1))
    retrained = dataclasses.replace(spec, retrain_backbones=True)
    backbones = {one.retrain_backbones: {run.backbone.key for (arm, _, _), run in one.runs.items() if arm == "shared"}
              for one in (spec, retrained)}  # fmt: skip
    assert len(backbones[False]) == 1 and len(backbones[True]) == 2 and backbones[False] < backbones[True]
    assert spec.describe_single_trainings() and not retrained.describe_single_trainings()


def test_trained_backbones_are_compared_with_earlier_ones() -> None:
    starts = (SMALL, small(epochs=1), small(epochs=2), small(epochs=3))
    spec = Transfer(fit(), starts, ("random", "one", "two", "three"), methods=(Full(), Head()), sizes=(20,), seeds=(0,))
    other_pairs = [pair for pair in spec.pairs if pair[1] != "random, full"]
    pairs = [("two", "one"), ("three", "one"), ("three", "two")]
    assert other_pairs == [tuple(f"{name}, {by}" for name in pair) for by in ("full", "head") for pair in pairs]
    assert {arm for arm, other in spec.pairs if other == "random, full"} == set(spec.arms) - {"random, full"}
    first = Transfer(fit(), starts[1:3], ("one", "two"), sizes=(20,), seeds=(0,))
    assert first.pairs.count(("two", "one")) == 1


def test_tables_used_only_to_remove_overlap_are_no_sources() -> None:
    multitask = small(epochs=1)
    own, other = multitask.members[0].train, Load("bundled:drugs")
    excluded = dataclasses.replace(multitask.members[0], tests=(other,), valids=(other,))
    changed = dataclasses.replace(multitask, members=(excluded, *multitask.members[1:]))
    assert (
        other.key not in find_sources(changed)
        and find_sources(changed) == find_sources(multitask) >= find_sources(own) != set()
    )
    assert find_sources(
        dataclasses.replace(multitask, step_reference=(dataclasses.replace(excluded, train=other),))
    ) == find_sources(multitask)


def test_ablation_separates_tables_and_molecules(store: Store) -> None:
    multi = small(batch_size=16)
    spec = import_files(Ablation(multi, fit(), totals=(16, 48), columns=1, steps=3, seeds=(0, 1)), store.files)
    assert len(spec.shared_backbones) == 2 * 2 * 3 and len(spec.runs) == 2 * 2 * 3 + 2
    for (names, total, _), multitask in spec.shared_backbones.items():
        assert sum(one.train.size for one in multitask.members) == total and len(multitask.members) == len(names)
    result = make(spec, store, Report())
    cells = {(one["families"], one["molecules"]): one for one in result.record["cells"]}
    assert set(cells) == {(0, 0), (1, 16), (1, 48), (2, 16), (2, 48)}
    assert cells[1, 16]["trainings"] == 4 and cells[2, 16]["trainings"] == 2
    mine = result.table[(result.table["families"] == 1) & (result.table["molecules"] == 16)]["error"]
    assert cells[1, 16]["mean"] == pytest.approx(mine.mean())
    assert (
        set(result.record["effects"]) == {"molecules", "families"}
        and "twice as many" in result.record["verdict"].lower()
    )
    names = {one.called for one in multi.members}
    assert set(result.record["presence"]) == names and {one["tables"] for one in result.record["sets"]} >= names
    assert [one["trainings"] for one in result.record["sets"]] == [4, 4, 4]
    errors = result.table[result.table["families"] > 0].pivot(
        index=["molecules", "seed"], columns="tables", values="error"
    )
    (blend,) = set(errors) - names
    apart = (errors[blend] - errors[sorted(names)].mean(axis=1)).mean()
    assert result.record["blended"]["all"]["mean"] == pytest.approx(apart)
    assert all(words in result.text() for words in (*names, "none, random weights", "the best of them"))


def test_verdict_names_the_effect_of_each_table() -> None:
    better, level, worse = ({"mean": m, "low": m - 0.01, "high": m + 0.01} for m in (-0.05, 0.0, 0.02))
    verdict = summarize_ablation(
        {"molecules": level, "families": better},
        {"zinc": better, "qm9": level},
        {"all": better, "best": worse},
        "rmse",
        "logD",
    )
    assert "one table more for as many molecules helps (RMSE -0.05 logD, -0.06 to -0.04)" in verdict
    assert "zinc helps (-0.05 logD" in verdict and "qm9 makes no difference beyond the noise" in verdict
    assert "a blend is better than the mean of them" in verdict and "worse than the best of them" in verdict


def test_bad_settings_are_refused() -> None:
    spec = small()
    with pytest.raises(BadInput, match="`sizes` wants different values"):
        Transfer(fit(), sizes=(20, 20))
    with pytest.raises(BadInput, match="2 or more"):
        Transfer(fit(), sizes=(1,))
    with pytest.raises(BadInput, match="wants a spec of kind 'finetune'"):
        Ablation(spec, Transfer(fit()).runs["support vectors", 50, 0])
    with pytest.raises(BadInput, match="two molecules per table"):
        Ablation(spec, fit(), totals=(3,))
    with pytest.raises(BadInput, match="at least two members"):
        Ablation(dataclasses.replace(spec, members=spec.members[:1]), fit())
    with pytest.raises(BadInput, match="different `names`"):
        Transfer(fit(), starts=(SMALL, Gnn(width=12, depth=2, walk=4, eigenvectors=2, seed=1)))


def test_small_sets_get_more_epochs_for_the_least_steps() -> None:
    spec = Transfer(fit(steps=None, epochs=3, batch_size=16), sizes=(20, 40), seeds=(0,), least=12)
    passes = {size: run.epochs for (arm, size, _), run in spec.runs.items() if arm != "support vectors"}
    assert passes == {20: 6, 40: 4, 0: 3}
