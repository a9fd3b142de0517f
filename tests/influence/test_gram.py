"""The rows of a curvature and their Gram matrix against rows taken one by one."""

from typing import Any

import pytest
import torch

from core.influence import gram, layer_gram
from core.influence.curvature import Curvature
from core.influence.gram import GradientRows
from core.influence.view import drop_unused_weights, parameter_view
from core.models.backbones import Gnn, Untrained
from core.models.backbones.gnn.featurize import BOND_FEATURES
from core.models.backbones.gnn.model import Network
from core.models.methods import METHODS
from core.models.predictor import Predictor
from tests.influence.test_curvature import batches, labels
from tests.small_models import dense_matrix, small_predictor


def curvature_of(predictor: Predictor, scope: str, kinds: tuple[str, ...], names: list[str] | None = None) -> Curvature:
    targets = labels(kinds)
    predictor.fit_scaler(targets)
    whole = parameter_view(predictor, scope, names)
    seen = drop_unused_weights(whole, batches(predictor, whole, targets)[0][0])
    return Curvature(seen, batches(predictor, seen, targets))


def rows_of(rows: GradientRows) -> torch.Tensor:
    """A (cells, d), by a backward pass for each cell."""
    units = torch.eye(len(rows), dtype=next(iter(rows.view.params.values())).dtype)
    return torch.stack([rows.transpose_times(unit) for unit in units])


@pytest.mark.parametrize("scope", ["all", "head", "last layer"])
@pytest.mark.parametrize("kinds", [("regression",), ("regression", "binary", "regression")], ids=["one", "three"])
@pytest.mark.parametrize("room", [1, 20_000, gram.MIN_BLOCK_BYTES], ids=["a column at a time", "in groups", "at once"])
def test_they_are_what_the_curvature_is_made_of(scope: str, kinds: tuple[str, ...], room: int) -> None:
    curvature = curvature_of(small_predictor(kinds, double=True), scope, kinds)
    rows = curvature.rows()
    held = rows_of(rows)
    assert len(rows) == len(held) == curvature.cells
    assert torch.allclose(held.T @ held, dense_matrix(curvature), atol=1e-12)
    assert torch.allclose(rows.gram(memory_bytes=room), held @ held.T, atol=1e-12)
    vector = torch.randn(curvature.view.d, dtype=torch.float64)
    assert torch.allclose(rows.times(vector), held @ vector, atol=1e-12)


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_of_the_real_backbone(method: str) -> None:
    """Whatever its adapter does: weights whose rows do not follow from a layer are taken cell by cell."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        predictor = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"], dropout=0.0)
        METHODS[method]()(predictor)
        for weight in predictor.parameters():
            weight.data += 0.02 * torch.randn(weight.shape)  # an adapter begins at zero, where half its slopes are none
    names = [name for name, weight in predictor.named_parameters() if weight.requires_grad]
    names = [name for name in names if method != "head" or name.startswith("head.")]
    rows = curvature_of(predictor, "all", ("regression",), names).rows()
    held = rows_of(rows).double()
    found = rows.gram(memory_bytes=40_000_000)
    assert float((found - held @ held.T).norm()) < 1e-4 * float((held @ held.T).norm())


def test_a_head_needs_no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    curvature = curvature_of(small_predictor(("regression", "binary"), double=True), "head", ("regression", "binary"))
    held = rows_of(curvature.rows())
    before, made = layer_gram.LinearRows.columns, []

    def counted(self: layer_gram.LinearRows, records: list[layer_gram.LayerRecord], most: int) -> Any:
        for columns in before(self, records, most):
            made.append(len(columns))
            yield columns

    monkeypatch.setattr(layer_gram.LinearRows, "columns", counted)
    rows = curvature.rows()
    assert torch.allclose(rows.gram(), held @ held.T, atol=1e-12)
    assert made and max(made) < len(rows), "of the first batch alone, to see whether the layer is understood"


def test_further_cells_stand_beside_the_own_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gram, "STRIP", 3)
    curvature = curvature_of(small_predictor(("regression", "binary"), double=True), "all", ("regression", "binary"))
    (inputs, targets), rest = curvature.batches[-1], curvature.batches[:-1]
    few = Curvature(curvature.view, rest)
    factors = torch.where(torch.isnan(targets), torch.nan, 0.5)
    few.further_batches = [(inputs, factors)]
    rows, held = few.rows(), rows_of(few.rows())
    beside = rows_of(GradientRows(curvature.view, few.further_batches))
    assert len(rows) == len(held) == few.cells and rows.total_cells == len(held) + len(beside)
    both = torch.cat([held, beside])
    assert torch.allclose(rows.gram(), both @ both.T, atol=1e-12)
    assert torch.allclose(rows.transpose_times(torch.ones(len(rows)).double()), held.sum(0), atol=1e-12)


@pytest.mark.parametrize(
    "wrong", [lambda found: 1.01 * found, lambda found: found.roll(1, 0)], ids=["more", "mixed up"]
)
def test_a_layer_that_its_rows_do_not_explain_is_not_believed(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    curvature = curvature_of(small_predictor(double=True), "all", ("regression",))
    held = rows_of(curvature.rows())

    class Wrong(layer_gram.LinearRows):
        def columns(self, records: list[layer_gram.LayerRecord], most: int) -> Any:
            yield from (wrong(columns) for columns in super().columns(records, most))

    monkeypatch.setitem(layer_gram.KINDS, "Linear", Wrong)
    rows = curvature.rows()
    known, rest = rows._layers()
    assert [type(layer) for layer in known] == [layer_gram.EmbeddingRows] and len(rest) == 6
    assert torch.allclose(rows.gram(), held @ held.T, atol=1e-12)


def of_graphs(smiles: list[str], **settings: Any) -> GradientRows:
    """Rows of a small network over graphs, in two batches."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        predictor = Predictor(Gnn(width=12, depth=2, **settings)(), ["y"], ["regression"], dropout=0.0).double()
    whole, half = parameter_view(predictor, "all"), len(smiles) // 2
    given = [whole.inputs(predictor.encode(some)) for some in (smiles[:half], smiles[half:])]
    seen = drop_unused_weights(whole, given[0])
    labels = torch.linspace(-1, 1, half, dtype=torch.float64)[:, None]
    return Curvature(seen, [(one, labels) for one in given]).rows()


@pytest.mark.parametrize("settings", [{"layer": "gine"}, {"layer": "gin", "virtual_node": True},
                                      {"layer": "gcn", "pooling": "attention"}, {"layer": "gine", "eigenvectors": 0}],
                         ids=lambda given: "-".join(map(str, given.values())))  # fmt: skip
def test_atoms_and_bonds_that_lie_one_below_the_other_are_told_by_molecule(settings: dict[str, Any]) -> None:
    rows = of_graphs(["CCO", "c1ccccc1O", "[Na+].[Cl-]", "C", "CC(=O)N", "C/C=C/Cl", "C1CC1", "O"], **settings)
    held = rows_of(rows)
    assert torch.allclose(rows.gram(), held @ held.T, atol=1e-10)
    rest = {name.rsplit(".", 1)[1] for name in rows._layers()[1]}
    assert rest == ({"bias"} if settings["layer"] == "gcn" else {"eps"}), "nothing else is taken cell by cell"


def test_rows_that_are_as_many_as_the_molecules_are_not_taken_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a table of the kinds of bonds read by all, beside as many molecules as it has rows."""
    flatten_batch = Network.flatten_batch

    def shared(self: Network, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        found = flatten_batch(self, batch)
        return found | {"kinds": torch.arange(len(BOND_FEATURES)), "bonds": found["kinds"].flatten()[found["bonds"]]}

    monkeypatch.setattr(Network, "flatten_batch", shared)
    rows = of_graphs(["C" * (1 + row % 7) + "O" * (row % 2) for row in range(2 * len(BOND_FEATURES))])
    held = rows_of(rows)
    assert torch.allclose(rows.gram(), held @ held.T, atol=1e-9)
    assert any("bonds" in name for name in rows._layers()[1])
