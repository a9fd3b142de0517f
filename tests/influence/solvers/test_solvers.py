"""Solvers against a dense solve, and their errors for matrices without an inverse."""

import pytest
import torch

from core.engine.report import Report
from core.influence.solvers import SOLVERS, Auto, Dual, GradientSimilarity
from core.influence.solvers.cg import CG
from core.influence.solvers.exact import Exact
from core.influence.solvers.gram_spectrum import Spectrum
from core.influence.solvers.lissa import LiSSA, worst_scale
from core.influence.solvers.solution import NotSolved, extreme_eigenvalues


class Rows:
    """Rows A (cells, d) as a dense matrix."""

    def __init__(self, matrix: torch.Tensor) -> None:
        self.matrix = matrix

    def __len__(self) -> int:
        return len(self.matrix)

    def times(self, vector: torch.Tensor) -> torch.Tensor:
        return self.matrix @ vector.to(self.matrix)

    def transpose_times(self, weights: torch.Tensor) -> torch.Tensor:
        return self.matrix.T @ weights.to(self.matrix)

    def gram(self, report: Report) -> torch.Tensor:
        return (self.matrix @ self.matrix.T).double()


class Dense:
    """A Gauss-Newton matrix that counts its products; a mini-batch is the mean outer product of a few rows."""

    form = "gauss-newton"

    def __init__(self, rows: torch.Tensor, damping: float, batch: int = 8) -> None:
        self.matrix, self.damping, self.batch, self.products = rows, damping, batch, 0
        self.cells = len(rows)

    def __matmul__(self, vector: torch.Tensor) -> torch.Tensor:
        self.products += 1
        return self.matrix.T @ (self.matrix @ vector) / len(self.matrix) + self.damping * vector

    def sample(self, generator: torch.Generator) -> "Dense":
        rows = torch.randint(len(self.matrix), (self.batch,), generator=generator)
        return Dense(self.matrix[rows], self.damping)

    def subsample(self, cells: int) -> "Dense":
        return Dense(self.matrix[:: max(1, len(self.matrix) // cells)], self.damping)

    def rows(self) -> "Rows":
        return Rows(self.matrix / len(self.matrix) ** 0.5)

    def solve(self, vector: torch.Tensor) -> torch.Tensor:
        matrix = self.matrix.T @ self.matrix / len(self.matrix) + self.damping * torch.eye(
            len(vector), dtype=vector.dtype
        )
        return torch.linalg.solve(matrix, vector)


class Symmetric:
    """Any symmetric matrix; its own mini-batch."""

    form = "gauss-newton"

    def __init__(self, matrix: torch.Tensor, damping: float = 1.0) -> None:
        self.matrix, self.damping, self.cells = matrix, damping, len(matrix)

    def rows(self) -> "Rows":
        return Rows(self.matrix)

    def __matmul__(self, vector: torch.Tensor) -> torch.Tensor:
        return self.matrix @ vector

    def sample(self, generator: torch.Generator) -> "Symmetric":
        return self


@pytest.fixture(scope="module", params=[torch.float32, torch.float64], ids=["float32", "float64"])
def system(request) -> tuple[Dense, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(200, 30, generator=generator, dtype=torch.float64) * torch.linspace(0.3, 2, 30)
    vector = torch.randn(30, generator=generator, dtype=torch.float64)
    return Dense(rows.to(request.param), 0.1), vector.to(request.param)


SOLVING = [kind for kind in SOLVERS if kind != "gradient-similarity"]


@pytest.mark.parametrize("solver", [SOLVERS[kind]() for kind in SOLVING], ids=SOLVING)
def test_agrees_with_a_dense_solve(solver, system):
    curvature, vector = system
    reports = []
    solution = solver(
        curvature, vector, Report(tell=lambda fraction, message, numbers: reports.append((fraction, numbers)))
    )
    truth = curvature.solve(vector)
    assert torch.corrcoef(torch.stack([solution.answer, truth]))[0, 1] > 0.99
    residual = float((vector - curvature @ solution.answer).norm() / vector.norm())
    assert solution.residual == pytest.approx(residual, rel=1e-3)  # recomputed, not by the recursion
    assert solution.converged == (solution.residual <= getattr(solver, "tolerance", 1e-4))
    assert solution.history[0] == (0, 1.0) and solution.history[-1][1] == pytest.approx(solution.residual, rel=1e-6)
    assert reports and all(0 <= fraction <= 1 for fraction, _ in reports)
    assert any("residual" in numbers for _, numbers in reports)
    assert solution.answer.dtype == vector.dtype and not solution.answer.requires_grad


@pytest.mark.parametrize("solver", [Dual(), Exact(), Auto()], ids=["dual", "exact", "auto"])
@pytest.mark.parametrize("factor", [1 / 3, 3])
def test_other_dampings_without_another_solve(solver, factor, system):
    curvature, vector = system
    solution = solver(curvature, vector)
    other = Dense(curvature.matrix, factor * curvature.damping)
    tolerance = 1e-3 if vector.dtype == torch.float32 else 1e-10
    assert torch.allclose(solution.at_damping(other.damping), other.solve(vector), rtol=tolerance, atol=tolerance)


def test_the_spectrum_gives_leverages_and_kernels(system):
    """Leverages, leave-one-out residuals and kernels of further cells, against dense matrices."""
    curvature, _ = system
    rows = curvature.matrix.double() / len(curvature.matrix) ** 0.5
    further = torch.randn(7, rows.shape[1], generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    both = torch.cat([rows, further])
    spectrum = Spectrum.of(both @ both.T, len(rows))
    for damping in (0.01, 0.1, 3.0):
        inverse = torch.linalg.inv(rows.T @ rows + damping * torch.eye(rows.shape[1], dtype=torch.float64))
        hat = rows @ inverse @ rows.T
        assert torch.allclose(spectrum.leverages(damping), hat.diagonal(), atol=1e-10)
        assert torch.allclose(spectrum.cross_kernel(damping), further @ inverse @ further.T, atol=1e-8)
        assert torch.allclose(spectrum.train_cross_kernel(damping), further @ inverse @ rows.T, atol=1e-8)
        labels = torch.randn(len(rows), generator=torch.Generator().manual_seed(4), dtype=torch.float64)
        others = torch.arange(1, len(rows))
        without = torch.linalg.solve(
            rows[others].T @ rows[others] + damping * torch.eye(rows.shape[1], dtype=torch.float64),
            rows[others].T @ labels[others],
        )
        residual = (hat @ labels - labels)[0] / (1 - hat[0, 0])
        assert float(rows[0] @ without - labels[0]) == pytest.approx(float(residual), rel=1e-8)


def test_a_damping_is_matched_to_a_leave_one_out_loss(system):
    rows = system[0].matrix.double() / 14
    spectrum = Spectrum.of(rows @ rows.T, len(rows))
    residuals = torch.randn(len(rows), generator=torch.Generator().manual_seed(5), dtype=torch.float64)

    def loss(leverages: torch.Tensor) -> float:
        return float((residuals / (1 - leverages)).square().mean())

    goal = 1.2 * float(residuals.square().mean())
    assert loss(spectrum.leverages(spectrum.match_damping(loss, goal))) == pytest.approx(goal, rel=1e-6)
    assert spectrum.match_damping(loss, 0.0) > 1e4 * float(spectrum.values.mean()), (
        "the goal is out of reach: almost no leverage"
    )


def test_gradient_similarity_is_the_first_step_of_conjugate_gradients(system):
    curvature, vector = system
    solution, step = GradientSimilarity()(curvature, vector), CG(steps=1)(curvature, vector)
    assert torch.allclose(solution.answer, step.answer, rtol=1e-5)
    assert solution.residual == pytest.approx(step.residual, rel=1e-4) and not solution.converged
    assert torch.allclose(solution.answer / solution.answer.norm(), vector / vector.norm(), atol=1e-6)
    assert "gradient similarity" in solution.warnings[0]


def test_auto_is_the_dual_up_to_its_limit(system):
    curvature, vector = system
    assert Auto()(curvature, vector).numbers["chosen"] == "dual"
    solution = Auto(most=199)(curvature, vector)
    assert solution.numbers["chosen"] == "cg" and solution.converged
    assert Auto(most=199).choose_solver(curvature).preconditioner == 1024, "a preconditioner needs a damping"
    assert Auto(most=199).choose_solver(Dense(curvature.matrix, 0.0)).preconditioner == 0
    curvature = Dense(curvature.matrix, curvature.damping)
    curvature.form = "hessian"
    assert Auto().choose_solver(curvature).kind == "cg"


def test_cg_converges_in_about_as_many_steps_as_parameters(system):
    curvature, vector = system
    tolerance = 1e-4 if vector.dtype == torch.float32 else 1e-10
    solution = CG(tolerance=tolerance)(curvature, vector)
    assert solution.converged and solution.steps <= 32
    assert torch.allclose(solution.answer, curvature.solve(vector), rtol=100 * tolerance, atol=100 * tolerance)


@pytest.mark.parametrize("cells", [50, 100])
def test_a_preconditioner_saves_steps_and_keeps_the_answer(cells):
    generator = torch.Generator().manual_seed(11)
    scale = torch.logspace(1, -3, 120, dtype=torch.float64)
    curvature = Dense(torch.randn(200, 120, generator=generator, dtype=torch.float64) * scale, 0.1)
    vector = torch.randn(120, generator=generator, dtype=torch.float64)
    plain = CG(tolerance=1e-8, steps=400)(curvature, vector)
    helped = CG(tolerance=1e-8, preconditioner=cells)(curvature, vector)
    assert helped.converged and helped.steps < 0.5 * plain.steps
    assert torch.allclose(helped.answer, curvature.solve(vector), rtol=1e-5, atol=1e-5)
    whole = CG(tolerance=1e-8, preconditioner=200)(curvature, vector)
    assert whole.steps < helped.steps


def test_a_preconditioner_needs_a_damping(system):
    curvature, vector = system
    with pytest.raises(NotSolved, match=r"preconditioner.*above 0"):
        CG(preconditioner=50)(Dense(curvature.matrix, 0.0), vector)


def test_cg_warns_when_it_does_not_converge(system):
    curvature, vector = system
    solution = CG(tolerance=1e-3, steps=2)(curvature, vector)
    assert not solution.converged and solution.steps == 2
    assert "raise `steps`" in solution.warnings[0]


def test_cg_warns_when_rounding_limits_the_residual(system):
    curvature, vector = system
    if vector.dtype == torch.float64:
        pytest.skip("float32 only")
    solution = CG(tolerance=1e-9, steps=500)(curvature, vector)
    assert not solution.converged and solution.residual < 1e-5 and solution.warnings


def test_cg_returns_the_best_answer_when_a_product_is_not_finite():
    class Breaks(Symmetric):
        count = 0

        def __matmul__(self, vector):
            self.count += 1
            return self.matrix @ vector * (float("nan") if self.count == 4 else 1)

    vector = torch.ones(20, dtype=torch.float64)
    solution = CG(tolerance=1e-8)(Breaks(torch.diag(torch.linspace(1, 20, 20, dtype=torch.float64))), vector)
    assert solution.steps == 3 and not solution.converged and torch.isfinite(solution.answer).all()
    assert solution.residual == pytest.approx(min(residual for _, residual in solution.history))
    assert "not finite" in solution.warnings[0]


@pytest.mark.parametrize(
    "solver",
    [CG(), LiSSA(depth=200), LiSSA(depth=200, scale=5.0), Exact()],
    ids=["cg", "lissa", "scale", "exact"],
)
def test_an_indefinite_matrix_raises_with_its_eigenvalue(solver):
    matrix = torch.diag(torch.linspace(-3, 5, 12, dtype=torch.float64))
    with pytest.raises(NotSolved, match=r"eigenvalues from -3 to 5.*raise `damping` by more than 3.6"):
        solver(Symmetric(matrix), torch.ones(12, dtype=torch.float64))


@pytest.mark.parametrize("solver", [kind() for kind in SOLVERS.values()], ids=list(SOLVERS))
@pytest.mark.parametrize(("value", "message"), [(0.0, "is zero"), (float("nan"), "not finite")])
def test_a_gradient_that_is_zero_or_nan_raises(solver, value, message):
    with pytest.raises(NotSolved, match=message):
        solver(Symmetric(torch.eye(3)), torch.full((3,), value))


@pytest.mark.parametrize("solver", [kind() for kind in SOLVERS.values()], ids=list(SOLVERS))
def test_a_curvature_of_nans_raises(solver):
    with pytest.raises(NotSolved, match=r"not finite|NaN|came out as nan"):
        solver(Symmetric(torch.full((3, 3), float("nan"))), torch.ones(3))


def test_lissa_scale_covers_the_worst_mini_batch_and_never_diverges(system):
    curvature, vector = system
    whole = extreme_eigenvalues(curvature, vector)[1]
    for seed in range(5):
        assert worst_scale(curvature, vector, torch.Generator().manual_seed(seed)) > 1.2 * whole
        solution = LiSSA(depth=400, seed=seed)(curvature, vector)
        assert not any("grew" in warning for warning in solution.warnings)
        assert 0 < solution.numbers["standard_error"] < 0.2


def test_lissa_restarts_with_twice_the_scale_when_it_grows(system):
    curvature, vector = system
    small = extreme_eigenvalues(curvature, vector)[1] / 2.5
    solution = LiSSA(scale=small, depth=2000)(curvature, vector)
    assert solution.numbers["scale"] in (2 * small, 4 * small, 8 * small)
    assert "twice the scale" in solution.warnings[0]


def test_lissa_averaging_helps_and_the_seed_matters(system):
    curvature, vector = system
    last = LiSSA(depth=1000, average=False, repeats=1, tolerance=1e-6)(curvature, vector)
    mean = LiSSA(depth=1000, repeats=1, tolerance=1e-6)(curvature, vector)
    assert mean.residual < 0.7 * last.residual
    again = LiSSA(depth=1000, repeats=1, tolerance=1e-6)(curvature, vector)
    other = LiSSA(depth=1000, repeats=1, tolerance=1e-6, seed=1)(curvature, vector)
    assert torch.equal(mean.answer, again.answer) and not torch.equal(mean.answer, other.answer)


def test_the_exact_solver_is_exact_and_gives_extreme_eigenvalues(system):
    curvature, vector = system
    solution = Exact()(curvature, vector)
    tolerance = 1e-5 if vector.dtype == torch.float32 else 1e-12
    assert solution.answer.dtype == vector.dtype and solution.steps == len(vector) and solution.converged
    assert torch.allclose(solution.answer, curvature.solve(vector), rtol=tolerance, atol=tolerance)
    matrix = curvature.matrix.T @ curvature.matrix / len(curvature.matrix)
    ends = torch.linalg.eigvalsh(matrix.double())[[0, -1]] + curvature.damping
    assert [solution.numbers["lowest"], solution.numbers["highest"]] == pytest.approx(ends.tolist(), rel=10 * tolerance)


def test_the_exact_solver_raises_above_its_limit(system):
    curvature, vector = system
    before = curvature.products
    with pytest.raises(NotSolved, match=r"30 weights .* takes 29 at most; choose the scope “last layer”"):
        Exact(most=29)(curvature, vector)
    assert curvature.products == before, "before any work is done"


def test_the_exact_solver_warns_of_rounding():
    matrix = torch.diag(torch.tensor([1e9, 1.0, 1e-7]))
    basis = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    solution = Exact(tolerance=1e-7)(Symmetric(basis @ matrix @ basis.T + 10 * torch.eye(3)), torch.ones(3))
    assert not solution.converged and "rounding leaves a residual of" in solution.warnings[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("seed", range(6))
def test_cg_is_stable_far_past_convergence(dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    curvature = Dense(torch.randn(50, 6, generator=generator, dtype=torch.float64).to(dtype), 0.1)
    vector = torch.randn(6, generator=generator, dtype=torch.float64).to(dtype)
    matrix = torch.stack([curvature @ column for column in torch.eye(6, dtype=dtype)])
    for right in (vector, torch.linalg.eigh(matrix)[1][:, 2]):
        curvature.products = 0
        solution = CG(tolerance=1e-300, steps=10_000)(curvature, right)
        assert solution.residual < 10 * torch.finfo(dtype).eps and curvature.products < 50
        true = curvature.solve(right)
        assert float((solution.answer - true).norm() / true.norm()) < 100 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_cg_solves_an_eigenvector_in_one_step(dtype):
    matrix = torch.diag(torch.arange(1, 7).to(dtype))
    vector = torch.zeros(6, dtype=dtype)
    vector[3] = 1
    solution = CG(tolerance=1e-300, steps=10_000)(Symmetric(matrix), vector)
    assert solution.steps == 1 and solution.residual == 0 and torch.equal(solution.answer, vector / 4)


@pytest.mark.parametrize("average", [False, True], ids=["last", "averaged"])
def test_lissa_is_stable_far_past_convergence(average):
    matrix = torch.diag(torch.linspace(0.5, 3, 6, dtype=torch.float64))
    vectors = torch.ones(6, dtype=torch.float64), torch.eye(6, dtype=torch.float64)[2]
    for vector in vectors:
        solution = LiSSA(depth=5000, tolerance=1e-300, repeats=1, average=average)(Symmetric(matrix), vector)
        assert solution.steps == 5000 and solution.residual < 1e-12
        assert torch.allclose(solution.answer, vector / matrix.diagonal(), rtol=1e-12)


def test_a_looser_tolerance_makes_cg_cheaper(system):
    curvature, vector = system
    counts = []
    for tolerance in (0.3, 1e-1, 1e-2, 1e-3):
        curvature.products = 0
        solution = CG(tolerance=tolerance)(curvature, vector)
        before = solution.history[-2][1]
        assert solution.residual <= tolerance < before, "stops at the first residual below the tolerance"
        counts.append(curvature.products)
    assert counts == sorted(set(counts)), "looser is cheaper"


def test_a_looser_tolerance_makes_lissa_cheaper(system):
    curvature, vector = system
    loose, tolerance = (LiSSA(depth=2000, tolerance=goal, repeats=1)(curvature, vector) for goal in (0.3, 0.02))
    assert loose.converged and loose.steps == 500 and loose.steps < tolerance.steps


@pytest.mark.parametrize("scale", [None, 6.0, 60.0])
def test_lissa_converges_to_the_damped_inverse_for_any_scale(scale):
    """Not to a system with another damping, such as damping times scale."""
    generator = torch.Generator().manual_seed(0)
    rows, damping = torch.randn(200, 5, generator=generator, dtype=torch.float64), 0.4
    bare, eye = rows.T @ rows / len(rows), torch.eye(5, dtype=torch.float64)
    vector = torch.randn(5, generator=generator, dtype=torch.float64)
    solution = LiSSA(depth=3000, scale=scale, tolerance=1e-12, repeats=1)(
        Symmetric(bare + damping * eye, damping), vector
    )
    assert solution.residual < 1e-8
    assert torch.allclose(solution.answer, torch.linalg.solve(bare + damping * eye, vector), rtol=1e-7)
    for wrong in (-damping, damping * solution.numbers["scale"], 0.0):
        other = torch.linalg.solve(bare + wrong * eye, vector)
        assert float((solution.answer - other).norm() / other.norm()) > 0.1


def test_extreme_eigenvalues_are_found():
    generator = torch.Generator().manual_seed(1)
    basis = torch.linalg.qr(torch.randn(60, 60, generator=generator, dtype=torch.float64))[0]
    values = torch.cat([torch.tensor([-2.0, 9.0], dtype=torch.float64), torch.rand(58, generator=generator).double()])
    lowest, highest = extreme_eigenvalues(Symmetric(basis @ torch.diag(values) @ basis.T), basis[0])
    assert lowest == pytest.approx(-2, rel=1e-4) and highest == pytest.approx(9, rel=1e-4)
