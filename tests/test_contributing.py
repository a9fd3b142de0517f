"""The examples of CONTRIBUTING.md run as they stand there."""

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from core.data.dataset import Dataset
from core.engine.spec import Family
from core.models.backbones import Untrained
from core.models.method_check import apply_and_check
from core.models.predictor import Predictor
from core.selection import SAMPLERS
from core.stats.sample import Sample

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text("utf-8")
SMILES = ["CCO", "c1ccccc1O", "CC(=O)N", "ClCCBr", "C"]


def read_example(heading: str) -> str:
    """The first block of python below a heading."""
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    return textwrap.dedent(re.search(r"^( *)```python\n(.*?)^ *```", section, re.M | re.S).group(2))


@pytest.fixture
def run() -> Iterator:
    """Run an example as a module of its own; gives the module."""
    name = "contributing_example"

    def run_example(heading: str) -> ModuleType:
        module = sys.modules[name] = ModuleType(name)
        exec(compile(read_example(heading), heading, "exec"), module.__dict__)
        return module

    yield run_example
    sys.modules.pop(name, None)


def test_a_method_trains_what_it_counts(run) -> None:
    method = run("Add a fine-tuning method").TopNorm()
    predictor = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"])
    apply_and_check(method, predictor, SMILES)
    trainable = sum(weight.numel() for weight in predictor.backbone.parameters() if weight.requires_grad)
    assert trainable == method.count_trainable(predictor.backbone) > 0


def test_a_sampler_selects_rows_whatever_the_order(run) -> None:
    sampler = run("Add a sampler").Small(count=2)
    pool = Dataset(np.array(SMILES, object), np.zeros((5, 1)), ("y",))
    assert sampler(pool).tolist() == [4, 0]
    assert Family("sampler", *SAMPLERS.values(), type(sampler)).name_of("small") == "small molecules"


def test_a_solver_agrees_with_a_dense_solve(run) -> None:
    solver = run("Add a solver").Steepest(tolerance=1e-4)
    rows = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    matrix, vector = rows.T @ rows / 40 + torch.eye(6), torch.ones(6)
    solution = solver(matrix, vector)
    assert solution.converged
    assert torch.allclose(solution.answer, torch.linalg.solve(matrix, vector), atol=1e-3)


def test_a_backbone_embeds(run) -> None:
    backbone = run("Add a backbone").SmallGin()()
    assert backbone.embed(backbone.batch(SMILES)).shape == (5, 32)


def test_a_metric_has_a_plain_value_and_a_bootstrap(run) -> None:
    source = read_example("Add a metric").split("# in METRICS")[0]
    names = {"np": np, "Sample": Sample}
    exec(source, names)
    errors = np.array([0.1, 0.5, 0.2, 0.9, 0.3])
    assert names["median_error"](Sample(np.zeros(5), errors)).tolist() == [0.3]
    counts = np.array([[1, 1, 1, 1, 1], [5, 0, 0, 0, 0]], float)
    assert names["median_error"](Sample(np.zeros(5), errors, counts)).tolist() == [0.3, 0.1]


def test_a_page_imports_what_is_there() -> None:
    lines = [line for line in read_example("Add a page").splitlines() if re.match("(from|import) ", line)]
    exec("\n".join(lines), {})
