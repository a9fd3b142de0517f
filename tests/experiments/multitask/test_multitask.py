"""Multitask training: overlap between tables, metrics, the shared backbone, and the study of controls."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.chem import molecules as chem
from core.data.dataset import Dataset
from core.engine.make import make
from core.engine.report import Cancelled, Report
from core.engine.spec import BadInput, Spec, read_spec_json, settings
from core.engine.store import Store
from core.experiments import (
    ComputedLabels,
    FineTune,
    Load,
    MixtureStudy,
    MixtureTable,
    Multitask,
    build_mixture,
    build_preset,
    import_files,
    split_table,
)
from core.experiments.multitask.mixture_study import MOLECULES, MULTI, STEPS, summarize_differences
from core.experiments.presets.mixtures import bundled_mixture, demo, toymix, toymix_study
from core.models.backbones import Gnn, Untrained, pretraining_history

SMALL = Gnn(width=12, depth=2, walk=4, eigenvectors=2)


@settings
class InlineTable(Spec[Dataset]):
    """A table with its molecules in the spec."""

    kind = "inline-table"
    smiles: tuple[str, ...]
    labels: tuple[float, ...] = ()

    def make(self, report: Report) -> Dataset:
        labels = np.array(self.labels or range(len(self.smiles)), float)[:, None]
        return Dataset([chem.canonical_smiles(one) for one in self.smiles], labels, ("y",))


def small(**changes: Any) -> Multitask:
    solubility = split_table(Load("bundled:solubility", limit=200), seed=0)
    hydration = split_table(Load("bundled:hydration", limit=150), seed=0)
    members = build_mixture(
        (MixtureTable(*solubility, name="solubility"), MixtureTable(*hydration, name="hydration", loss="mse"))
    )
    return Multitask(members, **{"backbone": SMALL, "epochs": 2, "batch_size": 32} | changes)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("multitask"))


def test_overlap_between_tables_is_removed(store: Store) -> None:
    one = MixtureTable(
        InlineTable(("CCO", "CCN", "C[C@H](O)N", "CCCC", "CCCCCN")),
        InlineTable(("CCS", "CCl")),
        InlineTable(("CCF", "CCO")),
        name="one",
    )
    other = MixtureTable(
        InlineTable(("CCF", "CBr", "CI", "CCS", "CNC", "CCNCC")),
        InlineTable(("CCF", "CCC")),
        InlineTable(("CCCC", "C[C@@H](O)N")),
        name="other",
    )
    context = (InlineTable(("CI",)), InlineTable(("CBr", "CCCCC")))  # a table for later fine-tuning
    first, second = (make(spec, store, Report()) for spec in build_mixture((one, other), (context,)))
    assert list(first.parts["train"].smiles) == ["CCN", "CCCCCN"] and list(first.parts["valid"].smiles) == [
        "CCS",
        "CCl",
    ]
    lost = {(row.part, row.smiles): row.reason for row in first.left_out.itertuples()}
    assert lost == {
        ("train", "CCO"): "in the test part of this table",
        ("train", chem.canonical_smiles("C[C@H](O)N")): "in the test part of another table",
        ("train", "CCCC"): "in the test part of another table",
    }
    assert list(second.parts["train"].smiles) == ["CNC", "CCNCC"] and list(second.parts["valid"].smiles) == ["CCC"]
    counted = {(row["part"], row["reason"]): row["molecules"] for row in second.summary()["left_out"]}
    assert counted == {
        ("valid", "in the test part of another table"): 1,
        ("train", "in the test part of another table"): 2,
        ("train", "in the validation part of another table"): 2,
    }


def test_table_without_remaining_molecules_is_refused(store: Store) -> None:
    member = MixtureTable(InlineTable(("CCO",)), InlineTable(("CCN",)), InlineTable(("CCO", "CCS")), name="mine")
    with pytest.raises(BadInput, match="mine: all 1 molecules of the train part are in a validation or test set"):
        make(member, store, Report())


def test_multitask_model_is_trained_stored_and_evaluated(store: Store) -> None:
    spec = import_files(small(), store.files)
    model = make(spec, store, Report())
    cards = {one["name"]: one for one in model.record["members"]}
    assert list(cards) == ["solubility", "hydration"] and cards["hydration"]["loss"] == "mse"
    assert sum(one["share"] for one in cards.values()) == pytest.approx(1)
    for name, card in cards.items():
        rows = model.predictions[(model.predictions["member"] == name) & (model.predictions["part"] == "test")]
        assert len(rows) == card["rows"]["test"] == card["metrics"]["test"][card["tasks"][0]]["n"]
        errors = (rows["prediction"] - rows["label"]).abs()
        assert card["means"]["test"]["mae"] == pytest.approx(errors.mean(), rel=1e-5)
        low, high = card["means_intervals"]["mae"]
        assert low < card["means"]["test"]["mae"] < high
        assert card["intervals"][card["tasks"][0]]["mae"] == [low, high]
        assert card["means"]["test"]["mae_sd"] == pytest.approx(errors.mean() / card["deviation"][0], rel=1e-5)
        assert {"in the test part of another table"} >= {
            row["reason"] for row in card["left_out"] if row["part"] == "valid"
        }
    assert len(model.curve) == 2 and {"loss: solubility", "loss: hydration", "valid_loss"} <= set(model.curve)
    whole = 0.5 * model.curve["loss: solubility"] + 0.5 * model.curve["loss: hydration"]
    assert np.allclose(model.curve["valid_loss"], whole)
    again = store.get(spec)
    assert again.record == model.record and len(again.predictions) == len(model.predictions)
    backbone = again()
    assert backbone.width == 12 and backbone.name == spec.called == "GINE 2x12 trained on 2 tables"
    assert read_spec_json(spec.text).key == spec.key
    assert pretraining_history.count_label_columns(again.folder / "backbone") == 2


def test_shared_backbone_can_be_fine_tuned(store: Store) -> None:
    train, valid, test, _ = split_table(Load("bundled:hydration"), seed=3, train=40, valid=20, pool=20, test=None)
    spec = import_files(
        FineTune(train, valid, test, backbone=small(), features="none", steps=5, evaluations=1), store.files
    )
    fit = make(spec, store, Report())
    assert fit.record["backbone"] == "GINE 2x12 trained on 2 tables"
    warnings = [one for one in fit.record["warnings"] if "with 2 columns of measured labels" in one]
    assert warnings, "the test set was not excluded"


def test_atoms_binned_and_binary_tasks_are_trained_together(store: Store, tmp_path: Path) -> None:
    flags = tmp_path / "flags.csv"
    rows = [f"{'C' * n}{end},{int(end == 'O')},{n if n % 3 else ''}" for n in range(2, 22) for end in ("", "O")]
    flags.write_text("smiles,alcohol,length\n" + "\n".join(rows))
    table = split_table(Load(f"file:{flags}", targets=("alcohol", "length")), seed=0)
    hydration = split_table(Load("bundled:hydration", limit=150), seed=0)
    members = build_mixture(
        (
            MixtureTable(*table, name="flags"),
            MixtureTable(*hydration, name="bins", loss="binned", bins=3, scaler="robust"),
            MixtureTable(*hydration, name="charges", atoms="partial charge", weight=0.5),
        )
    )
    spec = import_files(Multitask(members, backbone=SMALL, epochs=12, batch_size=32, learning_rate=1e-2,
                             weighting="learned", mixing="square-root"), store.files)  # fmt: skip
    record = make(spec, store, Report()).record
    cards = {one["name"]: one for one in record["members"]}
    assert cards["flags"]["kinds"] == ["binary", "regression"]
    assert cards["flags"]["metrics"]["valid"]["alcohol"]["n"] == 4
    charges = cards["charges"]
    assert charges["loss_weight"] == pytest.approx(0.2) and charges["tasks"] == ["partial charge of atoms"]
    assert charges["metrics"]["test"]["partial charge of atoms"]["n"] > 3 * charges["rows"]["test"]
    assert charges["means"]["test"]["r2"] > 0.3, "charges depend on the element"
    assert all(np.isfinite(one["log_variance"]) for one in cards.values())
    assert not (make(spec, store, Report()).predictions["member"] == "charges").any()


def test_transformer_trains_on_a_mixture_but_not_on_atoms(store: Store) -> None:
    spec = import_files(small(backbone=Untrained("molsway-tiny"), epochs=1, n_randomised_smiles=2), store.files)
    assert make(spec, store, Report()).record["members"][0]["means"]["test"]["mae"] > 0
    members = (dataclasses.replace(spec.members[0], atoms="logP", name="atoms"),)
    with pytest.raises(BadInput, match="reads tokens; use a gnn"):
        make(dataclasses.replace(spec, members=members), store, Report())


def test_interrupted_training_gives_the_same_result(store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("core.training.loop.CHECKPOINT_SECONDS", 0.0)
    spec = import_files(small(epochs=3, mixing="equal"), store.files)
    tables = tuple(make(one, store, Report()) for one in spec.members)
    folders = [tmp_path / name for name in ("whole", "broken")]
    for folder in folders:
        folder.mkdir()
    whole = spec.make(Report(scratch=folders[0]), members=tables)

    def stop(fraction: float, message: str, numbers: dict[str, Any]) -> None:
        if numbers.get("epoch", 0) > 2.2:
            raise Cancelled(message)

    with pytest.raises(Cancelled):
        spec.make(Report(tell=stop, scratch=folders[1]), members=tables)
    broken = spec.make(Report(scratch=folders[1]), members=tables)
    assert broken.predictions["prediction"].equals(whole.predictions["prediction"])


def test_bad_mixtures_are_refused() -> None:
    spec = small()
    with pytest.raises(BadInput, match="at least one table"):
        dataclasses.replace(spec, members=())
    with pytest.raises(BadInput, match="two members have the same name"):
        dataclasses.replace(spec, members=(spec.members[0], spec.members[0]))
    with pytest.raises(BadInput, match="names of RDKit's descriptors"):
        ComputedLabels(Load("bundled:drugs"), properties=("weight",))
    with pytest.raises(BadInput, match="at least two members"):
        MixtureStudy(dataclasses.replace(spec, members=spec.members[:1]))
    with pytest.raises(BadInput, match="wants `epochs`, not `steps`"):
        MixtureStudy(dataclasses.replace(spec, steps=10))
    with pytest.raises(BadInput, match="needs proportional mixing"):
        MixtureStudy(dataclasses.replace(spec, mixing="equal"))
    with pytest.raises(BadInput, match="has no file of qm9"):
        toymix("/nowhere")


def test_study_trains_tables_together_and_alone_with_two_controls(store: Store) -> None:
    study = import_files(MixtureStudy(small(), seeds=(0, 1)), store.files)
    assert len(study.runs) == 2 * (1 + 2 + 2)
    record = make(study, store, Report()).record
    arms = {(one["arm"], one["member"]): one for one in record["means"]}
    assert set(arms) == {(arm, name) for arm in (MULTI, STEPS, MOLECULES) for name in ("solubility", "hydration")}
    assert all(len(one["mae_sd"]["values"]) == 2 for one in arms.values())
    costs = {one["arm"]: one for one in record["costs"]}
    assert costs[STEPS]["steps"] == 2 * costs[MULTI]["steps"]
    assert abs(costs[MOLECULES]["steps"] - costs[MULTI]["steps"]) <= 4, "the last batch of an epoch may be smaller"
    differences = {(one["member"], one["against"]): one for one in record["differences"]}
    for (name, against), one in differences.items():
        apart = np.subtract(arms[MULTI, name]["mae_sd"]["values"], arms[against, name]["mae_sd"]["values"])
        assert one["mean"] == pytest.approx(apart.mean(), rel=1e-4) and one["low"] < one["mean"] < one["high"]
    assert all(one["device"] for one in costs.values())
    gained = [one["mae_sd"]["mean"] - one["averaged"]["mae_sd"] for one in arms.values()]
    assert min(gained) > -1e-6 and max(gained) > 1e-4, "averaged predictions have at most the mean error"
    assert len(differences) == 4 and record["verdict"] and not record["failed"] and not record["published"]
    assert len(make(study, store, Report()).table) == 2 * 3 * 2


def test_networks_with_the_same_verdict_are_named_together() -> None:
    rows = [
        {"backbone": f"{layer} 4x96 (random weights)", "member": "zinc", "against": against, "metric": "MAE in sd",
         "mean": 0.1, "verdict": word}
        for against, words in ((STEPS, ("worse", "worse")), (MOLECULES, ("better", "not distinguishable")))
        for layer, word in zip(("GCN", "GINE"), words, strict=True)
    ]  # fmt: skip
    assert summarize_differences(rows) == (
        "Against a table alone, as many steps with GCN 4x96 and GINE 4x96, training together costs zinc. "
        "Against a table alone, as many molecules with GCN 4x96, training together helps zinc (+0.1 MAE in sd). "
        "Against a table alone, as many molecules with GINE 4x96, training together makes no difference to zinc."
    )


def test_failed_training_is_reported_and_others_continue(store: Store) -> None:
    spec = small()
    odd = dataclasses.replace(spec.members[1], train=InlineTable(("CCCCO", "CCCCCO"), (1.0, 1.0)), name="odd")
    study = MixtureStudy(dataclasses.replace(spec, members=(spec.members[0], odd)), seeds=(0,))
    with pytest.raises(BadInput, match=r"nothing can be compared: .*odd: no task has two different labels"):
        make(study, store, Report())


def test_mixture_presets(shared_data: Path) -> None:
    assert [one.name for one in bundled_mixture()] == ["solubility", "hydration", "computed"]
    study = toymix_study(str(shared_data))
    assert len(study.runs) == 3 * 3 * 7 and [one.name for one in study.multi.members] == ["qm9", "tox21", "zinc"]
    assert len(demo().runs) == 3 * 7


def test_presets_exclude_the_test_sets_of_both_splits(shared_data: Path) -> None:
    table = Load(f"file:{shared_data / 'Lipophilicity.csv'}", targets=("exp",))
    both = [build_preset(name, table=table, data=str(shared_data)) for name in ("transfer", "transfer-scaffold")]
    assert len({one.fit.test.key for one in both}) == 2
    assert both[0].starts == both[1].starts, "both use the same shared backbones"
    for multitask in both[0].starts[1:]:
        for member in multitask.members:
            assert {one.fit.test.key for one in both} <= {one.key for one in member.tests}
    assert "zinc" not in {one.name for one in both[0].starts[2].members}
    ablation = build_preset("variety", table=table, data=str(shared_data))
    assert len(ablation.shared_backbones) == 3 * 3 * 7 and ablation.columns == 3
    with pytest.raises(BadInput, match="transfer needs --table"):
        build_preset("transfer", data=str(shared_data))


def test_computed_labels_do_not_count_as_measured(store: Store) -> None:
    drugs = Load("bundled:drugs", limit=60)
    computed = make(MixtureTable(*split_table(ComputedLabels(drugs), seed=0)), store, Report())
    assert (
        not computed.measured and computed.tasks == ("MolLogP", "TPSA", "MolMR") and computed.kinds[0] == "regression"
    )
    atoms = make(MixtureTable(*split_table(drugs, seed=0), atoms="logP"), store, Report())
    assert not atoms.measured and atoms.learning.name == "logP of the atoms of drugs"
    assert make(small().members[0], store, Report()).measured
