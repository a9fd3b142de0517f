"""The graph network: layers against numpy, and invariances of the embedding."""

import dataclasses

import numpy as np
import pytest
import torch

from core.chem import molecules as chem
from core.engine.spec import BadInput
from core.models.backbones.gnn.featurize import build_graph, pad_graphs
from core.models.backbones.gnn.model import LAYERS, POOLINGS, Network, NetworkConfig

SMILES = ("C", "CO", "CCCCCCCC", "C1CC1", "[Na+].[Cl-]", "CC[NH3+].[Cl-]", "c1ccccc1O", "CC(=O)Oc1ccccc1C(=O)O")


def batch(smiles: list[str] | tuple[str, ...], config: NetworkConfig) -> dict[str, torch.Tensor]:
    tensors = {
        name: torch.from_numpy(each)
        for name, each in pad_graphs([build_graph(one, config.encodings) for one in smiles]).items()
    }
    return {name: each.double() if each.is_floating_point() else each for name, each in tensors.items()}


def build_network(**settings: object) -> Network:
    torch.manual_seed(0)
    return Network(NetworkConfig(**settings)).double().eval()


def gelu(x: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


def linear(x: np.ndarray, layer: torch.nn.Linear) -> np.ndarray:
    bias = 0 if layer.bias is None else layer.bias.detach().numpy()
    return x @ layer.weight.detach().numpy().T + bias


def net(x: np.ndarray, layers: torch.nn.Sequential) -> np.ndarray:
    return linear(gelu(linear(x, layers[0])), layers[2])


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("smiles", SMILES)
def test_layers_match_numpy(kind: str, smiles: str) -> None:
    config = NetworkConfig(layer=kind, width=12)
    layer, inputs = build_network(layer=kind, width=12).layers[0], batch([smiles], config)
    n, ends = inputs["atoms"].shape[1], inputs["ends"][0].numpy().T
    generator = np.random.default_rng(0)
    atoms, kinds = generator.normal(size=(n, 12)), generator.normal(size=(3, config.encoding_width))
    which = generator.integers(3, size=ends.shape[1])
    bonds, edge_args = kinds[which], [torch.from_numpy(kinds), torch.from_numpy(which)] * (kind == "gine")
    messages = layer.conv(torch.from_numpy(atoms), inputs["ends"][0].T, *edge_args).detach().numpy()
    wanted, conv = np.zeros((n, 12)), layer.conv
    for atom in range(n):
        coming = [(int(a), index) for index, (a, b) in enumerate(ends.T) if b == atom]
        if kind == "gcn":
            degrees = 1 + np.bincount(ends[1], minlength=n)
            every = [(atom, None), *coming]
            wanted[atom] = sum(linear(atoms[a], conv.lin) / np.sqrt(degrees[a] * degrees[atom]) for a, _ in every)
            wanted[atom] += conv.bias.detach().numpy()
            continue
        incoming = sum(
            (np.maximum(atoms[a] + linear(bonds[index], conv.lin), 0) if kind == "gine" else atoms[a])
            for a, index in coming
        )
        wanted[atom] = net((1 + conv.eps.item()) * atoms[atom] + incoming, conv.nn)
    np.testing.assert_allclose(messages, wanted, atol=1e-9)


@pytest.mark.parametrize("virtual_node", [False, True])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("layer", LAYERS)
def test_embeddings_do_not_depend_on_order_or_batch(layer: str, pooling: str, virtual_node: bool) -> None:
    """Without eigenvectors, whose signs and rotations are arbitrary."""
    config = NetworkConfig(layer=layer, pooling=pooling, virtual_node=virtual_node, eigenvectors=0, width=24)
    network = build_network(**dataclasses.asdict(config))
    with torch.no_grad():
        together = network(batch(SMILES, config))
        for row, smiles in enumerate(SMILES):
            torch.testing.assert_close(network(batch([smiles], config))[0], together[row])
        other = [chem.randomised_smiles(chem.parse(one), 1, seed=3)[0] for one in SMILES]
        torch.testing.assert_close(network(batch(other, config)), together, atol=1e-6, rtol=1e-6)  # walks are float32
    assert together.shape == (len(SMILES), 24) and torch.isfinite(together).all()


def test_eigenvector_signs_are_flipped_only_in_training() -> None:
    network, config = build_network(dropout=0.0), NetworkConfig()
    inputs = batch(["CC(=O)Oc1ccccc1C(=O)O"], config)
    turned = inputs | {"vectors": -inputs["vectors"]}
    with torch.no_grad():
        assert torch.equal(network(inputs), network(inputs)) and not torch.allclose(network(inputs), network(turned))
        network.train()
        torch.manual_seed(0)
        outputs = {tuple(network(inputs)[0].tolist()) for _ in range(8)}
    assert len(outputs) > 4


@pytest.mark.parametrize("smiles", SMILES)
def test_positional_encodings_match_numpy(smiles: str) -> None:
    network, inputs = build_network(), batch([smiles], NetworkConfig())
    flat = network.flatten_batch(inputs)
    (encoding,) = network._encode(flat)
    values, walks = flat["values"].numpy(), flat["walks"].numpy()
    for atom in range(len(encoding)):
        pairs = [
            gelu(linear(np.array([vector, value]), network.spectrum[0]))
            for vector, value in zip(flat["vectors"].numpy()[atom], values[atom], strict=True)
            if value > 0
        ]
        summed = np.sum(pairs, axis=0) if pairs else np.zeros(network.spectrum[0].out_features)
        wanted = linear(summed, network.spectrum[2]) + net(walks[atom], network.walks)
        np.testing.assert_allclose(encoding[atom].detach().numpy(), wanted, atol=1e-10)


def test_padding_of_the_spectrum_has_no_effect() -> None:
    network, config = build_network(), NetworkConfig()
    inputs = batch(["CO"], config)  # one eigenvector of eight
    assert (inputs["values"] > 0).sum() == 1
    changed = inputs["vectors"].clone()
    changed[..., 1:] = 5.0
    with torch.no_grad():
        torch.testing.assert_close(network(inputs), network(inputs | {"vectors": changed}))


@pytest.mark.parametrize(
    ("layer", "least", "most"), [("gcn", 70_000, 100_000), ("gin", 90_000, 140_000), ("gine", 100_000, 180_000)]
)
def test_number_of_weights_and_all_get_gradients(layer: str, least: int, most: int) -> None:
    network, config = build_network(layer=layer), NetworkConfig(layer=layer)
    assert least < sum(weight.numel() for weight in network.parameters()) < most
    network(batch(SMILES, config)).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in network.parameters())


@pytest.mark.parametrize("layer", LAYERS)
def test_forward_mode_agrees_with_reverse_mode(layer: str) -> None:
    """Directional derivatives of influence need forward mode."""
    from torch.func import functional_call, jvp, vjp

    network, config = (
        build_network(layer=layer, width=16, virtual_node=True, pooling="attention"),
        NetworkConfig(layer=layer, width=16),
    )
    inputs = batch(SMILES[3:], config)
    weights = {name: each.detach() for name, each in network.named_parameters()}
    torch.manual_seed(1)
    along = {name: torch.randn_like(each) for name, each in weights.items()}
    outputs, change = jvp(lambda moved: functional_call(network, moved, (inputs,)), (weights,), (along,))
    back = torch.randn_like(outputs)
    _, pull = vjp(lambda moved: functional_call(network, moved, (inputs,)), weights)
    (gradient,) = pull(back)
    torch.testing.assert_close((change * back).sum(), sum((gradient[name] * along[name]).sum() for name in along))


@pytest.mark.parametrize(
    ("settings", "message"), [({"layer": "pna"}, "one of gcn, gin, gine"), ({"width": 0}, "from 1 to 4096"), ({"pooling": "max"}, "one of sum"),
                           ({"dropout": 1.0}, "below 1"), ({"walk": -1}, "from 0 to 64")]
)  # fmt: skip
def test_invalid_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        NetworkConfig(**settings)
