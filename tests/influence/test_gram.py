"""Rows of a curvature and their Gram matrix against rows computed one by one."""

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
    view = drop_unused_weights(whole, batches(predictor, whole, targets)[0][0])
    return Curvature(view, batches(predictor, view, targets))


def rows_of(rows: GradientRows) -> torch.Tensor:
    """A (cells, d), by a backward pass for each cell."""
    units = torch.eye(len(rows), dtype=next(iter(rows.view.params.values())).dtype)
    return torch.stack([rows.transpose_times(unit) for unit in units])


@pytest.mark.parametrize("scope", ["all", "head", "last layer"])
@pytest.mark.parametrize("kinds", [("regression",), ("regression", "binary", "regression")], ids=["one", "three"])
@pytest.mark.parametrize(
    "memory_bytes", [1, 20_000, gram.MIN_BLOCK_BYTES], ids=["a column at a time", "in groups", "at once"]
)
def test_rows_reproduce_the_curvature(scope: str, kinds: tuple[str, ...], memory_bytes: int) -> None:
    curvature = curvature_of(small_predictor(kinds, double=True), scope, kinds)
    rows = curvature.rows()
    matrix = rows_of(rows)
    assert len(rows) == len(matrix) == curvature.cells
    assert torch.allclose(matrix.T @ matrix, dense_matrix(curvature), atol=1e-12)
    assert torch.allclose(rows.gram(memory_bytes=memory_bytes), matrix @ matrix.T, atol=1e-12)
    vector = torch.randn(curvature.view.d, dtype=torch.float64)
    assert torch.allclose(rows.times(vector), matrix @ vector, atol=1e-12)


@pytest.mark.parametrize("method", list(METHODS))
def test_the_gram_matrix_of_every_method(method: str) -> None:
    """Weights that are in no supported layer are computed cell by cell."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        predictor = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"], dropout=0.0)
        METHODS[method]()(predictor)
        for weight in predictor.parameters():
            # Adapters start at zero, where half of their gradients vanish.
            weight.data += 0.02 * torch.randn(weight.shape)
    names = [name for name, weight in predictor.named_parameters() if weight.requires_grad]
    names = [name for name in names if method != "head" or name.startswith("head.")]
    rows = curvature_of(predictor, "all", ("regression",), names).rows()
    matrix = rows_of(rows).double()
    gram_matrix = rows.gram(memory_bytes=40_000_000)
    assert float((gram_matrix - matrix @ matrix.T).norm()) < 1e-4 * float((matrix @ matrix.T).norm())


def test_a_head_needs_no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    curvature = curvature_of(small_predictor(("regression", "binary"), double=True), "head", ("regression", "binary"))
    matrix = rows_of(curvature.rows())
    columns_before, lengths = layer_gram.LinearRows.columns, []

    def count_columns(self: layer_gram.LinearRows, records: list[layer_gram.LayerRecord], most: int) -> Any:
        for columns in columns_before(self, records, most):
            lengths.append(len(columns))
            yield columns

    monkeypatch.setattr(layer_gram.LinearRows, "columns", count_columns)
    rows = curvature.rows()
    assert torch.allclose(rows.gram(), matrix @ matrix.T, atol=1e-12)
    assert lengths and max(lengths) < len(rows), "columns of the first batch only, to check the layer"


def test_further_cells_are_in_the_gram_matrix_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gram, "STRIP", 3)
    curvature = curvature_of(small_predictor(("regression", "binary"), double=True), "all", ("regression", "binary"))
    (inputs, targets), rest = curvature.batches[-1], curvature.batches[:-1]
    part = Curvature(curvature.view, rest)
    factors = torch.where(torch.isnan(targets), torch.nan, 0.5)
    part.further_batches = [(inputs, factors)]
    rows, matrix = part.rows(), rows_of(part.rows())
    further = rows_of(GradientRows(curvature.view, part.further_batches))
    assert len(rows) == len(matrix) == part.cells and rows.total_cells == len(matrix) + len(further)
    both = torch.cat([matrix, further])
    assert torch.allclose(rows.gram(), both @ both.T, atol=1e-12)
    assert torch.allclose(rows.transpose_times(torch.ones(len(rows)).double()), matrix.sum(0), atol=1e-12)


@pytest.mark.parametrize(
    "wrong", [lambda found: 1.01 * found, lambda found: found.roll(1, 0)], ids=["scaled", "permuted"]
)
def test_a_layer_with_wrong_rows_is_not_used(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    curvature = curvature_of(small_predictor(double=True), "all", ("regression",))
    matrix = rows_of(curvature.rows())

    class Wrong(layer_gram.LinearRows):
        def columns(self, records: list[layer_gram.LayerRecord], most: int) -> Any:
            yield from (wrong(columns) for columns in super().columns(records, most))

    monkeypatch.setitem(layer_gram.KINDS, "Linear", Wrong)
    rows = curvature.rows()
    layers, rest = rows._layers()
    assert [type(layer) for layer in layers] == [layer_gram.EmbeddingRows] and len(rest) == 6
    assert torch.allclose(rows.gram(), matrix @ matrix.T, atol=1e-12)


def graph_rows(smiles: list[str], **settings: Any) -> GradientRows:
    """Rows of a small network over graphs, in two batches."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        predictor = Predictor(Gnn(width=12, depth=2, **settings)(), ["y"], ["regression"], dropout=0.0).double()
    whole, half = parameter_view(predictor, "all"), len(smiles) // 2
    inputs = [whole.inputs(predictor.encode(part)) for part in (smiles[:half], smiles[half:])]
    view = drop_unused_weights(whole, inputs[0])
    labels = torch.linspace(-1, 1, half, dtype=torch.float64)[:, None]
    return Curvature(view, [(batch, labels) for batch in inputs]).rows()


@pytest.mark.parametrize("settings", [{"layer": "gine"}, {"layer": "gin", "virtual_node": True},
                                      {"layer": "gcn", "pooling": "attention"}, {"layer": "gine", "eigenvectors": 0}],
                         ids=lambda given: "-".join(map(str, given.values())))  # fmt: skip
def test_rows_of_atoms_and_bonds_are_assigned_to_molecules(settings: dict[str, Any]) -> None:
    rows = graph_rows(["CCO", "c1ccccc1O", "[Na+].[Cl-]", "C", "CC(=O)N", "C/C=C/Cl", "C1CC1", "O"], **settings)
    matrix = rows_of(rows)
    assert torch.allclose(rows.gram(), matrix @ matrix.T, atol=1e-10)
    rest = {name.rsplit(".", 1)[1] for name in rows._layers()[1]}
    assert rest == ({"bias"} if settings["layer"] == "gcn" else {"eps"}), "nothing else is computed cell by cell"


def test_rows_that_happen_to_match_the_number_of_molecules_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared table of bond kinds with as many rows as there are molecules."""
    flatten_batch = Network.flatten_batch

    def shared(self: Network, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        flat = flatten_batch(self, batch)
        return flat | {"kinds": torch.arange(len(BOND_FEATURES)), "bonds": flat["kinds"].flatten()[flat["bonds"]]}

    monkeypatch.setattr(Network, "flatten_batch", shared)
    rows = graph_rows(["C" * (1 + row % 7) + "O" * (row % 2) for row in range(2 * len(BOND_FEATURES))])
    matrix = rows_of(rows)
    assert torch.allclose(rows.gram(), matrix @ matrix.T, atol=1e-9)
    assert any("bonds" in name for name in rows._layers()[1])
