"""The linear system C x = v of influence scores: solved once for a whole pool, saved for an interrupted job."""

import dataclasses
import json
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from core.data.dataset import Dataset
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import to_json
from core.influence.curvature import Curvature
from core.influence.scoring import encode_batches
from core.influence.solvers import Auto, Dual
from core.influence.solvers.gram_spectrum import Spectrum
from core.influence.solvers.solution import NotSolved, residual_of
from core.influence.view import (
    FactorBatches,
    ParameterView,
    count_labels,
    drop_unused_weights,
    leave_one_out_outputs,
    summed_loss,
    target_gradient,
)
from core.models.predictor import Predictor
from core.models.sealed_tensors import load_sealed, save_sealed
from core.stats.temperature import cross_entropies, fit_temperatures

MAX_CROSS_KERNEL = 1 << 23  # numbers: training cells × cells of target and pool
MAX_PAIR_CELLS = 4096  # cells of target and pool, with 4 bytes stored for each pair
MATCHED = "matched: training molecules left out one by one have the target's loss"
OVERCONFIDENT = 1.25  # temperature above which a warning is given
OTHER_DAMPINGS = {"third": 1 / 3, "thrice": 3.0}  # factors of the damping, to check stability


class Settings(Protocol):
    """Settings of the linear system: fields or class variables of `Influence` and of other specs that solve one."""

    @property
    def solver(self) -> Any: ...  # a member of `SOLVERS`
    @property
    def damping(self) -> float | None: ...  # None: the mean of the non-zero eigenvalues
    @property
    def scope(self) -> str: ...
    @property
    def curvature(self) -> str: ...
    @property
    def curvature_rows(self) -> int: ...  # 0: all
    @property
    def batch_size(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def stability(self) -> bool: ...  # whether to solve at other dampings even if each costs another solve
    @property
    def matched(self) -> bool: ...  # whether to choose the damping by leave-one-out loss (dual solver)


class System(NamedTuple):
    """The solution x = C⁻¹∇L_target, and the record of the solve.

    `view`: over the weights that predictions depend on. `arrays`: `vector` (d,), the solution; where available
    `third` and `thrice` (d,), those at other dampings; `held` (n, t), leverages of the training cells, NaN where
    unknown; `leverage` (n, t), the same at the matched damping, if none was given; `pairs` (k, k), J C⁻¹ Jᵀ of the
    measured target cells and all pool cells, molecule by molecule; `reach` (k, c), J C⁻¹ Jᵀ of these cells and the
    measured training cells, times √(ℓ″ / N) of each training cell.
    """

    view: ParameterView
    arrays: dict[str, torch.Tensor]
    record: dict[str, Any]


def solve_system(
    spec: Settings,
    predictor: Predictor,
    view: ParameterView,
    parts: dict[str, Dataset],
    report: Report,
) -> System:
    """Build and solve the system of a spec, or load it from the job's scratch folder. Raises `NotSolved`.

    `parts`: tables `train`, `target` and, for pairwise effects, `pool`.
    """
    checkpoint = _load_system(report)
    if checkpoint is not None:
        arrays, record = checkpoint
        narrowed = dataclasses.replace(view, params={name: view.params[name] for name in record["weights"]})
        return System(narrowed, {name: value.to(view.binary.device) for name, value in arrays.items()}, record)
    train, target, batch_size = parts["train"], parts["target"], spec.batch_size
    rows = np.arange(len(train))
    if 0 < spec.curvature_rows < len(train):
        rows = np.random.default_rng([spec.seed, 1]).permutation(len(train))[: spec.curvature_rows]
    sample, cells = train.take(rows), int((~np.isnan(train.targets)).sum())
    order = predictor.batches(list(sample.smiles), batch_size)
    batches = encode_batches(
        predictor, view, sample, order, batch_size, report.part(0, 0.1, phase="reading the training part")
    )
    view = drop_unused_weights(view, batches[0][0])
    target_batches = encode_batches(
        predictor, view, target, None, batch_size, report.part(0.1, 0.15, phase="reading the target")
    )
    report(0.15, "gradient of the target loss")
    temperatures, overconfident = _temperatures(view, target_batches)
    gradient = target_gradient(view, target_batches, torch.tensor(temperatures))

    def shuffled_batches() -> list:
        shuffled = np.random.default_rng([spec.seed, 2]).permutation(len(sample))
        return encode_batches(predictor, view, sample, split_rows(shuffled, batch_size), batch_size, SILENT_REPORT)

    curvature = Curvature(
        view,
        batches,
        form=spec.curvature,
        shuffled_batches=shuffled_batches,
        check_cancelled=lambda: report.check("solving"),
    )
    damping_record: dict[str, Any] = {"damping_from": "given"}
    curvature.damping = spec.damping or 0.0
    if not spec.damping:
        trace = curvature.trace(spec.seed, report=report.part(0.15, 0.3))
        curvature.damping = trace / min(cells, view.d)
        damping_record = {
            "trace": trace,
            "damping_from": "trace / min(training cells, parameters), Hutchinson's estimate",
        }
    if spec.curvature == "hessian":
        damping_record["lowest_eigenvalue"] = curvature.refuse_if_indefinite(report.part(0.3, 0.35))
    curvature.further_batches, further_order = _further_factors(spec, curvature, predictor, parts)
    solution = spec.solver(curvature, gradient, report.part(0.35, 0.85, phase="solving"))
    if solution.spectrum is not None and not spec.damping:
        damping_record["matched_damping"] = _match_damping(solution.spectrum, curvature, target_batches)
        if spec.matched:
            curvature.damping, damping_record["damping_from"] = damping_record["matched_damping"], MATCHED
            answer = solution.at_damping(curvature.damping)
            residual = residual_of(curvature, answer, gradient)
            solution = dataclasses.replace(solution, answer=answer, residual=residual)
    arrays = {"vector": solution.answer}
    if solution.spectrum is not None:
        train_cells = cell_order(order, ~np.isnan(sample.targets))
        for name, damping in (
            ("leverage", damping_record.get("matched_damping", curvature.damping)),
            ("held", curvature.damping),
        ):
            leverage = np.full(train.targets.shape, np.nan)
            leverage[rows[train_cells[:, 0]], train_cells[:, 1]] = solution.spectrum.leverages(damping).cpu().numpy()
            arrays[name] = _tensor(leverage, gradient)
        if curvature.further_batches:
            cross_kernel = solution.spectrum.cross_kernel(curvature.damping)
            arrays["pairs"] = cross_kernel[further_order][:, further_order].float()
            if len(cross_kernel) * len(train_cells) <= MAX_CROSS_KERNEL:
                columns = np.lexsort((train_cells[:, 1], rows[train_cells[:, 0]]))
                train_cross_kernel = solution.spectrum.train_cross_kernel(curvature.damping)[further_order]
                arrays["reach"] = train_cross_kernel[
                    :, torch.as_tensor(columns, device=train_cross_kernel.device)
                ].float()
    other_answers, failures = _solve_other_dampings(
        spec, curvature, gradient, solution, report.part(0.85, 1.0, phase="other dampings")
    )
    record = {
        "scope": spec.scope,
        "parameters": view.d,
        "weights": list(view.params),
        "curvature": spec.curvature,
        "curvature_rows": len(sample),
        "cells_train": cells,
        "temperatures": temperatures,
        "damping": curvature.damping,
        **damping_record,
        "solver": {**to_json(spec.solver), **solution.numbers},
        "residual": solution.residual,
        "steps": solution.steps,
        "seconds": solution.seconds,
        "converged": solution.converged,
        "history": [[step, residual] for step, residual in solution.history],
        "warnings": [*solution.warnings, *failures, *overconfident],
    }
    if spec.matched and damping_record["damping_from"] != MATCHED:
        record["warnings"].append(
            "the damping was not matched to the target's error: it was given, or the solver computes no leverages"
        )
    if len(sample) < len(train):
        record["warnings"].append(f"the curvature uses {len(sample):,} of {len(train):,} training molecules")
    _save_system(report, arrays | other_answers, record)
    return System(view, arrays | other_answers, record)


def _temperatures(view: ParameterView, target_batches: list) -> tuple[list[float], list[str]]:
    """Best temperature of each task on the target, 1 for regression; a warning for each that is high."""
    temperatures, warnings = [1.0] * len(view.binary), []
    if not view.binary.any():
        return temperatures, warnings
    with torch.no_grad():
        outputs = torch.cat([view.predict(view.params, inputs) for inputs, _ in target_batches]).double().cpu().numpy()
    labels = torch.cat([targets for _, targets in target_batches]).double().cpu().numpy()
    for task in np.flatnonzero(view.binary.cpu().numpy()):
        known = ~np.isnan(labels[:, task])
        logits, flags = outputs[known, task], labels[known, task]
        temperatures[task] = float(fit_temperatures(logits[None], flags)[0])
        if temperatures[task] > OVERCONFIDENT:
            before, after = (
                float(cross_entropies(logits / divisor, flags).mean()) for divisor in (1.0, temperatures[task])
            )
            warnings.append(
                f"the model is over-confident: the target's log loss is {before:.3f}, and {after:.3f} with its logits "
                f"divided by {temperatures[task]:.2g}; scores use the second, because anything that lowers the "
                "confidence, even a wrong label, would lower the first"
            )
    return temperatures, warnings


def split_rows(rows: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Rows in their order, `batch_size` at a time."""
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]


def cell_order(batches: list, known: np.ndarray) -> np.ndarray:
    """(k, 2) molecule and task of the known cells (n, t), in the order of the batches, in a batch task by task."""
    cells = [(row, task) for rows in batches for task in range(known.shape[1]) for row in rows if known[row, task]]
    return np.array(cells, int).reshape(-1, 2)


def _further_factors(
    spec: Settings, curvature: Curvature, predictor: Predictor, parts: dict[str, Dataset]
) -> tuple[FactorBatches, np.ndarray]:
    """Batches of target and pool for pairwise effects by the dual solver; empty where they do not fit.

    Also the position in these batches of each measured target cell, molecule by molecule, then of all pool cells.
    """
    target, pool = parts["target"], parts.get("pool")
    if pool is None:
        return [], np.array([], int)
    wanted = [~np.isnan(target.targets), np.ones(pool.targets.shape, bool)]
    solver = spec.solver.choose_solver(curvature) if isinstance(spec.solver, Auto) else spec.solver
    count = int(sum(cells.sum() for cells in wanted))
    if not isinstance(solver, Dual) or count > MAX_PAIR_CELLS or curvature.cells + count > solver.most:
        return [], np.array([], int)
    batches, start, positions = [], 0, []
    for table, cells in zip((target, pool), wanted, strict=True):
        order = predictor.batches(list(table.smiles), spec.batch_size)
        for rows in order:
            if cells[rows].any():
                factors = np.where(cells[rows], 1.0, np.nan)
                inputs = curvature.view.inputs(predictor.encode([table.smiles[row] for row in rows]))
                batches.append((inputs, _tensor(factors, next(iter(curvature.view.params.values())))))
        labels = cell_order(order, cells)
        positions.append(start + np.lexsort((labels[:, 1], labels[:, 0])))
        start += len(labels)
    return batches, torch.as_tensor(np.concatenate(positions), device=curvature.view.binary.device)


def _match_damping(spectrum: Spectrum, curvature: Curvature, target_batches: list) -> float:
    """The damping at which the leave-one-out loss of the training cells equals the loss of the target."""
    view = curvature.view
    with torch.no_grad():
        outputs = [view.predict(view.params, inputs) for inputs, _ in curvature.batches]
        goal = sum(float(summed_loss(view.predict(view.params, x), y, view.binary)) for x, y in target_batches)
    goal /= sum(count_labels(targets) for _, targets in target_batches)
    known = [~torch.isnan(targets) for _, targets in curvature.batches]

    def loss(leverages: torch.Tensor) -> float:
        total, start = 0.0, 0
        for output, (_, targets), labelled in zip(outputs, curvature.batches, known, strict=True):
            h = torch.zeros_like(output)
            count = int(labelled.sum())
            h.T[labelled.T] = leverages[start : start + count].to(h)  # task by task, the order of the rows
            start += count
            total += float(summed_loss(leave_one_out_outputs(output, targets, h, view.binary), targets, view.binary))
        return total / start

    return spectrum.match_damping(loss, goal)


def _solve_other_dampings(
    spec: Settings, curvature: Curvature, gradient: torch.Tensor, solution: Any, report: Report
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Solutions at a third of the damping and at three times it, by name; a warning for each that fails."""
    answers, failures = {}, []
    for index, (name, factor) in enumerate(OTHER_DAMPINGS.items()):
        damping, part = factor * curvature.damping, report.part(index / 2, (index + 1) / 2)
        part(0, f"at {damping:.3g}")
        try:
            if solution.at_damping is not None:
                answers[name] = solution.at_damping(damping)
            elif spec.stability:
                answers[name] = spec.solver(dataclasses.replace(curvature, damping=damping), gradient, part).answer
        except NotSolved as error:
            failures.append(f"stability could not be checked at a damping of {damping:.3g}: {error}")
    return answers, failures


def _tensor(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(values).to(like)


def _save_system(report: Report, arrays: dict[str, torch.Tensor], record: dict[str, Any]) -> None:
    """Save the solved system in the scratch folder, for a job that is interrupted later."""
    if report.scratch:
        save_sealed(report.scratch / "solved.safetensors", arrays, json.dumps(record))


def _load_system(report: Report) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """Arrays and record of a solved system in the scratch folder; None where there is none or it is damaged."""
    path = report.scratch / "solved.safetensors" if report.scratch else None
    if path is None or not path.exists():
        return None
    try:
        arrays, record = load_sealed(path)
        return arrays, json.loads(record)
    except ValueError:  # changed, or written incompletely
        path.unlink()
        return None
