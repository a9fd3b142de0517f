"""The linear system of an influence: solved once for a whole pool, and kept for a job that is interrupted later."""

import dataclasses
import json
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

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
from core.stats.temperature import cross_entropies, fit_temperatures

MAX_CROSS_KERNEL = 1 << 23  # numbers, one for each training cell and cell of target and pool
MAX_PAIR_CELLS = 4096  # cells of target and pool of which every pair is kept: 4 bytes each
MATCHED = "matched: training molecules left out one by one have the target's loss"
OVERCONFIDENT = 1.25  # temperature from which on a reader is told
OTHER_DAMPINGS = {"third": 1 / 3, "thrice": 3.0}  # times the damping, to see what hangs on it


class Settings(Protocol):
    """What a system is solved by: `Influence` and others that solve one have these as fields or class variables."""

    @property
    def solver(self) -> Any: ...  # a member of `SOLVERS`
    @property
    def damping(self) -> float | None: ...  # None: the mean of the eigenvalues that are not zero
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
    def stability(self) -> bool: ...  # whether to solve at other dampings where that costs another solve
    @property
    def matched(self) -> bool: ...


class System(NamedTuple):
    """C⁻¹∇L_target and how it went.

    `view`: over the weights that matter; `arrays`: `vector` (d,); where they are known `third` and `thrice` (d,), the
    same at other dampings; `held` (n, t), leverages of the training cells, NaN where unknown, and `leverage`, those at
    the matched damping, if none was given; `cross_kernel` (k, k), J C⁻¹ Jᵀ of the measured target cells and all cells of the
    pool, molecule by molecule, and `train_cross_kernel` (k, c), the same beside the measured training cells whose leverage is known,
    times √(ℓ″ / N) of each.
    """

    view: ParameterView
    arrays: dict[str, torch.Tensor]
    record: dict[str, Any]


def solve_system(
    recipe: Settings,
    predictor: Predictor,
    seen: ParameterView,
    parts: dict[str, Dataset],
    report: Report,
) -> System:
    """Build and solve the system of a recipe; `parts`: train, target and perhaps pool. Raises `NotSolved`."""
    kept = _kept(report)
    if kept is not None:
        arrays, record = kept
        narrowed = dataclasses.replace(seen, params={name: seen.params[name] for name in record["weights"]})
        return System(narrowed, {name: value.to(seen.binary.device) for name, value in arrays.items()}, record)
    train, target, size = parts["train"], parts["target"], recipe.batch_size
    rows = np.arange(len(train))
    if 0 < recipe.curvature_rows < len(train):
        rows = np.random.default_rng([recipe.seed, 1]).permutation(len(train))[: recipe.curvature_rows]
    sample, cells = train.take(rows), int((~np.isnan(train.targets)).sum())
    order = predictor.batches(list(sample.smiles), size)
    batches = encode_batches(
        predictor, seen, sample, order, size, report.part(0, 0.1, phase="reading the training part")
    )
    seen = drop_unused_weights(seen, batches[0][0])
    aims = encode_batches(predictor, seen, target, None, size, report.part(0.1, 0.15, phase="reading the target"))
    report(0.15, "gradient of the target loss")
    at, sure = _temperatures(seen, aims)
    gradient = target_gradient(seen, aims, torch.tensor(at))

    def draws() -> list:
        shuffled = np.random.default_rng([recipe.seed, 2]).permutation(len(sample))
        return encode_batches(predictor, seen, sample, split_rows(shuffled, size), size, SILENT_REPORT)

    curvature = Curvature(
        seen, batches, form=recipe.curvature, draws=draws, check_cancelled=lambda: report.check("solving")
    )
    found: dict[str, Any] = {"damping_from": "given"}
    curvature.damping = recipe.damping or 0.0
    if not recipe.damping:
        trace = curvature.trace(recipe.seed, report=report.part(0.15, 0.3))
        curvature.damping = trace / min(cells, seen.d)
        found = {"trace": trace, "damping_from": "trace / min(training cells, parameters), Hutchinson's estimate"}
    if recipe.curvature == "hessian":
        found["lowest_eigenvalue"] = curvature.refuse_if_indefinite(report.part(0.3, 0.35))
    curvature.further_batches, beside_order = _beside(recipe, curvature, predictor, parts)
    solution = recipe.solver(curvature, gradient, report.part(0.35, 0.85, phase="solving"))
    if solution.spectrum is not None and not recipe.damping:
        found["matched_damping"] = _matched(solution.spectrum, curvature, aims)
        if recipe.matched:
            curvature.damping, found["damping_from"] = found["matched_damping"], MATCHED
            answer = solution.at_damping(curvature.damping)
            residual = residual_of(curvature, answer, gradient)
            solution = dataclasses.replace(solution, answer=answer, residual=residual)
    arrays = {"vector": solution.answer}
    if solution.spectrum is not None:
        mine = cell_order(order, ~np.isnan(sample.targets))
        for name, damping in (
            ("leverage", found.get("matched_damping", curvature.damping)),
            ("held", curvature.damping),
        ):
            leverage = np.full(train.targets.shape, np.nan)
            leverage[rows[mine[:, 0]], mine[:, 1]] = solution.spectrum.leverages(damping).cpu().numpy()
            arrays[name] = _tensor(leverage, gradient)
        if curvature.further_batches:
            pairs = solution.spectrum.cross_kernel(curvature.damping)
            arrays["pairs"] = pairs[beside_order][:, beside_order].float()
            if len(pairs) * len(mine) <= MAX_CROSS_KERNEL:
                columns = np.lexsort((mine[:, 1], rows[mine[:, 0]]))
                reach = solution.spectrum.train_cross_kernel(curvature.damping)[beside_order]
                arrays["reach"] = reach[:, torch.as_tensor(columns, device=reach.device)].float()
    others, failures = _others(recipe, curvature, gradient, solution, report.part(0.85, 1.0, phase="other dampings"))
    record = {
        "scope": recipe.scope,
        "parameters": seen.d,
        "weights": list(seen.params),
        "curvature": recipe.curvature,
        "curvature_rows": len(sample),
        "cells_train": cells,
        "temperatures": at,
        "damping": curvature.damping,
        **found,
        "solver": {**to_json(recipe.solver), **solution.numbers},
        "residual": solution.residual,
        "steps": solution.steps,
        "seconds": solution.seconds,
        "converged": solution.converged,
        "history": [[step, residual] for step, residual in solution.history],
        "warnings": [*solution.warnings, *failures, *sure],
    }
    if recipe.matched and found["damping_from"] != MATCHED:
        record["warnings"].append(
            "the damping was not matched to the target's error: one was given, or the solver knows no leverages"
        )
    if len(sample) < len(train):
        record["warnings"].append(f"the curvature is of {len(sample):,} of {len(train):,} training molecules")
    _keep(report, arrays | others, record)
    return System(seen, arrays | others, record)


def _temperatures(seen: ParameterView, aims: list) -> tuple[list[float], list[str]]:
    """The temperature of each task at which the target is told best, 1 for numbers; a sentence where that is high."""
    found, said = [1.0] * len(seen.binary), []
    if not seen.binary.any():
        return found, said
    with torch.no_grad():
        outputs = torch.cat([seen.predict(seen.params, inputs) for inputs, _ in aims]).double().cpu().numpy()
    labels = torch.cat([targets for _, targets in aims]).double().cpu().numpy()
    for task in np.flatnonzero(seen.binary.cpu().numpy()):
        known = ~np.isnan(labels[:, task])
        logits, flags = outputs[known, task], labels[known, task]
        found[task] = float(fit_temperatures(logits[None], flags)[0])
        if found[task] > OVERCONFIDENT:
            before, after = (float(cross_entropies(logits / by, flags).mean()) for by in (1.0, found[task]))
            said.append(
                f"the fit is too sure of its classes: the target's log loss is {before:.3f}, and {after:.3f} with its "
                f"logits divided by {found[task]:.2g}; scores are of the second, so that nothing is gained by making "
                "the fit less sure, which a wrong label would do as well as any"
            )
    return found, said


def split_rows(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Rows in their order, `size` at a time."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def cell_order(parts: list, known: np.ndarray) -> np.ndarray:
    """(k, 2) molecule and task of the known cells (n, t), as batches of these rows hold them, task by task."""
    found = [(row, task) for rows in parts for task in range(known.shape[1]) for row in rows if known[row, task]]
    return np.array(found, int).reshape(-1, 2)


def _beside(
    recipe: Settings, curvature: Curvature, predictor: Predictor, parts: dict[str, Dataset]
) -> tuple[FactorBatches, np.ndarray]:
    """Target and pool for a solver that tells what single cells do to each other, if it can hold them all.

    Also where each of their cells stands in the order of the batches: the target's measured ones molecule by molecule,
    then all of the pool's.
    """
    target, pool = parts["target"], parts.get("pool")
    if pool is None:
        return [], np.array([], int)
    known = [~np.isnan(target.targets), np.ones(pool.targets.shape, bool)]
    solver = recipe.solver.choose_solver(curvature) if isinstance(recipe.solver, Auto) else recipe.solver
    more = int(sum(cells.sum() for cells in known))
    if not isinstance(solver, Dual) or more > MAX_PAIR_CELLS or curvature.cells + more > solver.most:
        return [], np.array([], int)
    found, place, at = [], 0, []
    for table, cells in zip((target, pool), known, strict=True):
        order = predictor.batches(list(table.smiles), recipe.batch_size)
        for rows in order:
            if cells[rows].any():
                factors = np.where(cells[rows], 1.0, np.nan)
                inputs = curvature.view.inputs(predictor.encode([table.smiles[row] for row in rows]))
                found.append((inputs, _tensor(factors, next(iter(curvature.view.params.values())))))
        mine = cell_order(order, cells)
        at.append(place + np.lexsort((mine[:, 1], mine[:, 0])))
        place += len(mine)
    return found, torch.as_tensor(np.concatenate(at), device=curvature.view.binary.device)


def _matched(spectrum: Spectrum, curvature: Curvature, aims: list) -> float:
    """The damping at which the training molecules, each left out, are predicted as badly as the target's are."""
    seen = curvature.view
    with torch.no_grad():
        outputs = [seen.predict(seen.params, inputs) for inputs, _ in curvature.batches]
        goal = sum(float(summed_loss(seen.predict(seen.params, x), y, seen.binary)) for x, y in aims)
    goal /= sum(count_labels(targets) for _, targets in aims)
    known = [~torch.isnan(targets) for _, targets in curvature.batches]

    def loss(leverages: torch.Tensor) -> float:
        total, place = 0.0, 0
        for found, (_, targets), there in zip(outputs, curvature.batches, known, strict=True):
            h = torch.zeros_like(found)
            count = int(there.sum())
            h.T[there.T] = leverages[place : place + count].to(h)  # task by task, as the rows are
            place += count
            total += float(summed_loss(leave_one_out_outputs(found, targets, h, seen.binary), targets, seen.binary))
        return total / place

    return spectrum.match_damping(loss, goal)


def _others(
    recipe: Settings, curvature: Curvature, gradient: torch.Tensor, solution: Any, report: Report
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The answers at a third of the damping and at three times it; sentences where there is none."""
    found, failures = {}, []
    for place, (name, factor) in enumerate(OTHER_DAMPINGS.items()):
        damping, part = factor * curvature.damping, report.part(place / 2, (place + 1) / 2)
        part(0, f"at {damping:.3g}")
        try:
            if solution.at_damping is not None:
                found[name] = solution.at_damping(damping)
            elif recipe.stability:
                found[name] = recipe.solver(dataclasses.replace(curvature, damping=damping), gradient, part).answer
        except NotSolved as error:
            failures.append(
                f"no scores at a damping of {damping:.3g}, whose agreement would tell of stability: {error}"
            )
    return found, failures


def _tensor(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(values).to(like)


def _keep(report: Report, arrays: dict[str, torch.Tensor], record: dict[str, Any]) -> None:
    """Leave the solved system in the scratch folder."""
    if report.scratch:
        draft = report.scratch / "solved.draft"
        held = {name: value.cpu().contiguous() for name, value in arrays.items()}
        save_file(held, draft, metadata={"record": json.dumps(record)})
        draft.replace(report.scratch / "solved.safetensors")


def _kept(report: Report) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    path = report.scratch / "solved.safetensors" if report.scratch else None
    if path is None or not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            return arrays, json.loads(file.metadata()["record"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):  # cut short by a power cut
        path.unlink()
        return None
