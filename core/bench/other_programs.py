"""Other programs that score a pool, on the same predictor, molecules and labels, where they are installed.

Only this file imports them.
"""

import contextlib
import copy
import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from core.bench.timing import seconds_now

if TYPE_CHECKING:
    from torch import Tensor

    from core.bench.trained_predictor import TrainedPredictor

INPUTS = ("input_ids", "attention_mask")
SLOW_MOLECULES = 4  # molecules to time where each takes hundreds of forward passes


@dataclass(frozen=True, eq=False)
class OtherProgram:
    """A program that is ready to score the first molecules of a pool.

    `about` says what is timed. `vector` (d,) is the direction of which its scores should be the loss derivatives.
    `score()` returns the scores and the seconds per molecule.
    """

    about: str
    vector: "Tensor"
    score: Callable[[], tuple["Tensor", float]]


@contextlib.contextmanager
def kronfluence(case: "TrainedPredictor", vector: "Tensor") -> Iterator[OtherProgram]:
    """Pairwise scores with the first target batch as one query; gradients of the linear layers only, by hooks."""
    import torch
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task

    from core.influence.view import flatten, target_gradient, unflatten

    params, pool, target = case.view.params, case.pool[0], case.target[0]
    layers = [name for name, module in case.predictor.named_modules() if isinstance(module, torch.nn.Linear)]
    layers = [name for name in layers if f"{name}.weight" in params]
    size, target_count, starts = len(pool[1]) // 4, len(target[1]), []

    class Errors(Task):
        def compute_train_loss(self, batch: Any, model: Any, sample: bool = False) -> torch.Tensor:
            starts.append(seconds_now())
            return self.compute_measurement(batch, model)

        def compute_measurement(self, batch: Any, model: Any) -> torch.Tensor:
            return _squares(model(_inputs(batch)), batch[-1])

        def get_influence_tracked_modules(self) -> list[str]:
            return layers

    task = Errors()
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch has moved a class that kronfluence imports
        analyzer = Analyzer(
            "bench",
            prepare_model(copy.deepcopy(case.predictor), task),
            task,
            cpu=case.predictor.device.type == "cpu",
            log_level=logging.ERROR,
            disable_tqdm=True,
            output_dir=folder,
        )
        analyzer.fit_all_factors("none", _table(pool, 2), factor_args=FactorArguments(strategy="identity"))

        def score() -> tuple[torch.Tensor, float]:
            starts.clear()
            analyzer.compute_pairwise_scores(
                "scores",
                "none",
                query_dataset=_table(target, target_count),
                train_dataset=_table(pool, 4 * size),
                per_device_query_batch_size=target_count,
                per_device_train_batch_size=size,
                score_args=ScoreArguments(aggregate_query_gradients=True),
                overwrite_output_dir=True,
            )
            seconds = (starts[3] - starts[1]) / (2 * size)
            return analyzer.load_pairwise_scores("scores")["all_modules"][0].double() / target_count, seconds

        tracked = {f"{name}.{part}" for name in layers for part in ("weight", "bias")}
        gradient = unflatten(target_gradient(case.view, [target]), params)
        share = sum(params[name].numel() for name in tracked) / case.view.d
        yield OtherProgram(
            f"kronfluence {version('kronfluence')}: compute_pairwise_scores, the second and third of four batches of "
            "the pool, without the target's gradient and the fixed cost of a call; strategy identity, with the "
            "target's gradient as the solved vector (the other strategies cost the same per molecule); linear layers "
            f"only, {share:.1%} of the weights",
            flatten({name: part * (name in tracked) for name, part in gradient.items()}),
            score,
        )


@contextlib.contextmanager
def dattri(case: "TrainedPredictor", vector: "Tensor") -> Iterator[OtherProgram]:
    """The inner product of each molecule's gradient with our solved vector."""
    import torch
    from dattri.algorithm.base import BaseInnerProductAttributor
    from dattri.task import AttributionTask
    from torch.func import functional_call
    from torch.utils.data import DataLoader, TensorDataset

    model = copy.deepcopy(case.predictor)
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in case.view.params)

    def loss(params: dict[str, torch.Tensor], data: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return _squares(functional_call(model, params, (_inputs(data),)), data[-1])

    class Solved(BaseInnerProductAttributor):
        def generate_test_rep(self, ckpt_idx: int, data: Any) -> torch.Tensor:
            return vector[None]

    attributor = Solved(AttributionTask(loss, model, model.state_dict()), device=str(case.predictor.device))
    nothing = DataLoader(TensorDataset(torch.zeros(1)))

    def score() -> tuple[torch.Tensor, float]:
        part = _table(case.pool[0], SLOW_MOLECULES)
        pool = DataLoader(part, batch_size=SLOW_MOLECULES)
        attributor.cache(pool)
        began = seconds_now()
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            scores = attributor.attribute(pool, nothing)[:, 0].detach().double().cpu()
        return scores, (seconds_now() - began) / len(part)

    yield OtherProgram(
        f"dattri {version('dattri')}: attribute, its inner products only: the solved vector replaces the test "
        "gradient, which it would compute and solve for in every batch of the pool; all weights",
        vector,
        score,
    )


OTHER_PROGRAMS: dict[str, Callable[..., AbstractContextManager[OtherProgram]]] = {
    "kronfluence": kronfluence,
    "dattri": dattri,
}


def prepare_program(
    name: str, case: "TrainedPredictor", vector: "Tensor", stack: contextlib.ExitStack
) -> tuple[OtherProgram, "Tensor"] | tuple[None, str]:
    """A program and its scores, or None and the reason why it cannot run."""
    if importlib.util.find_spec(name) is None:
        return None, "not installed; pip install -r requirements-bench.txt"
    try:
        program = stack.enter_context(OTHER_PROGRAMS[name](case, vector))
        return program, program.score()[0]
    except Exception as error:  # any failure of theirs is a result of the benchmark
        return None, f"could not run: {type(error).__name__}: {str(error)[:200]}"


def _table(part: tuple[dict[str, "Tensor"], "Tensor"], n: int) -> Any:
    """The first n molecules of a batch as a dataset of torch."""
    from torch.utils.data import TensorDataset

    inputs, targets = part
    return TensorDataset(*(inputs[name][:n] for name in INPUTS), targets[:n])


def _inputs(batch: Any) -> dict[str, "Tensor"]:
    return dict(zip(INPUTS, batch, strict=False))


def _squares(outputs: "Tensor", targets: "Tensor") -> "Tensor":
    return ((outputs - targets) ** 2).sum()
