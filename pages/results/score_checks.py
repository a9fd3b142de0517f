"""How reliable scores are: checks without training, the test by training again, other scores of the same pool."""

import dataclasses

import numpy as np
import pandas as pd
import streamlit as st

from core.experiments import LDS, Influence, SeedAverage, Select
from core.figures import base as figures
from core.influence.diagnostics import TOP_SHARE, top_overlap
from core.influence.solvers import Auto
from core.results.comparison import Comparison
from core.results.datamodel_check import DatamodelCheck
from core.results.scores import Scores
from core.selection import Top
from core.stats.formatting import format_number
from core.stats.metrics import spearman
from pages.base.service import find_run, load_product, submit
from pages.base.text import escape_markdown, format_duration, format_percent
from pages.widgets.frame import show_command
from pages.widgets.job_panel import show_job
from pages.widgets.run_page import submit_and_show
from pages.widgets.run_picker import Run, list_runs, read_spec, run_door

MAX_DETAILED = 1000  # candidates of a large pool that are scored again with all weights


def show_reliability(scores: Scores) -> None:
    """Checks that need no retraining, as a row of numbers."""
    record, table = scores.record, scores.table
    n_scored = int(table["delta_loss"].notna().sum())
    metrics: list[tuple[str, str, str]] = []
    agreement = record.get("agreement") or {}
    if agreement.get("spearman") is not None:
        metrics.append((
            f"{len(record['seeds'])} training seeds agree",
            f"ρ {format_number(agreement['spearman'])}",
            "Mean Spearman correlation between the scores of two models that differ only by the seed; the lowest is "
            f"{format_number(agreement['lowest'])}. On average {format_percent(agreement['overlap'])} of the most "
            "helpful tenth by one model are in the most helpful tenth by another.",
        ))  # fmt: skip
    if "delta_loss_low" in table:
        metrics.append((
            "95 % interval excludes zero",
            f"{record['pairs_check']['delta_loss_clear']:,} of {n_scored:,}",
            "Bootstrap interval over the validation molecules" + (" and the training seeds." if agreement else "."),
        ))  # fmt: skip
    stability = record.get("stability") or {}
    if stability:
        worst = min(stability.values(), key=lambda one: one["spearman"] or -1.0)
        metrics.append((
            "Ranking stable to regularisation",
            f"ρ {format_number(worst['spearman'])}",
            "Spearman correlation with the scores at a third and at three times the damping, the lower of the two; "
            f"{format_percent(worst['overlap'])} of the most helpful tenth stay in it.",
        ))  # fmt: skip
    if "whole_step" in table:
        metrics.append((
            "Agrees with the full update",
            f"ρ {format_number(record['pairs_check']['spearman'])}",
            "Spearman correlation of ΔL with the leave-one-in effect (a Newton step), which is not linearised in the "
            "weight of the molecule.",
        ))  # fmt: skip
    metrics.append((
        "Solver error",
        f"{record.get('residual', float('nan')):.1e}",
        "Relative residual of the linear system, recomputed on the whole training set",
    ))  # fmt: skip
    for column, (name, value, help_) in zip(st.columns(len(metrics)), metrics, strict=True):
        column.metric(name, value, help=help_)


def explain_gradient_similarity(run: Run, record: dict) -> None:
    """Why scores without curvature, or with the test set as target, are misleading."""
    if (record.get("solver") or {}).get("kind") != "gradient-similarity":
        return
    points = [
        "**No curvature.** The score is the dot product of two gradients (TracIn, Pruthi et al. 2020, "
        "arXiv:2002.08484). The inverse Hessian of an influence function is left out: "
        f"{format_percent(record['residual'])} of the linear system is unsolved, and directions that the training set "
        "already fixes count as much as unknown ones."
    ]
    spec = read_spec(run)
    if isinstance(spec, Influence) and spec.target == spec.fit.test:
        points.append(
            "**The target is the test set.** A selection that lowers the test loss cannot be tested on it: the test "
            "error is then optimistic. Use the validation set."
        )
    points.append(
        "**The sign.** The most helpful candidates have the largest dot products, so the *smallest* influences: "
        "ranking by the largest raw influence selects the most harmful ones. On this page a negative ΔL always helps."
    )
    with st.container(border=True):
        st.markdown("**Gradient similarity: why it is misleading**")
        st.markdown("\n".join(f"{number}. {text}" for number, text in enumerate(points, 1)))


def show_validation(run: Run) -> None:
    """The tests by retraining: with random halves of the pool, and with the selections made from these scores."""
    checks = [one for one in list_runs(DatamodelCheck) if one.entry and run.key in one.entry.summary.get("scores", ())]
    studies = [one for one in list_runs(Comparison) if one.entry and one.entry.summary.get("scores") == run.key]
    for check in checks[:1]:
        st.markdown(f"**Tested by retraining.** {escape_markdown(check.entry.summary['verdict'])}")
        show_retraining(check)
    for study in studies[:1]:
        st.markdown(f"**Selections compared.** {escape_markdown(study.entry.summary.get('verdict', ''))}")
        run_door("Open the comparison", study.key, study.kind, "comparison", ":material/compare_arrows:")
    if not checks:
        ask_retraining(run, bool(studies))


def show_retraining(check: Run) -> None:
    """Predicted against measured changes of the validation loss, one point per retraining."""
    check_result = load_product(check.entry)
    with st.expander("Predicted against measured effects of retraining", icon=":material/fact_check:"):
        predictions = sorted(check_result.record["ways"], key=lambda one: -one["spearman"])
        name = st.selectbox("Predicted by", [one["name"] for one in predictions], key=f"way-{check.key}")
        figure = figures.plot_predicted_vs_measured(
            check_result.table[name], check_result.table["measured"], check_result.record["unit"]
        )
        st.plotly_chart(figure, key=f"told-{check.key}", config=figures.CONFIG, alt="Predicted and measured changes")
        correlations = pd.DataFrame(predictions)[["name", "spearman", "low", "high"]]
        st.dataframe(
            correlations.rename(
                columns={"name": "predicted by", "spearman": "Spearman ρ", "low": "from", "high": "to"}
            ),
            hide_index=True,
            alt="Linear datamodelling score of each prediction, with its 95 % interval",
            column_config={name: st.column_config.NumberColumn(format="%.2f") for name in ("Spearman ρ", "from", "to")},
        )
        st.caption(
            f"Linear datamodelling score: the rank correlation over {check_result.record['subsets']} retrainings, each "
            f"with a different random subset of {check_result.record['members']} candidates, with a 95 % bootstrap "
            "interval."
        )
        if (spec := read_spec(check)) is not None:
            show_command(spec)


def ask_retraining(run: Run, compared: bool) -> None:
    """Ask for the test by retraining, with an estimate of its cost; or show its job."""
    spec = read_spec(run)
    if not isinstance(spec, (Influence, SeedAverage)):
        return
    waiting = [
        one for one in list_runs(DatamodelCheck) if one.job and run.key in {part.key for part in one.spec.scores}
    ]
    if waiting:
        show_job(waiting[0].key)
        return
    title = (
        "Not tested with random subsets yet"
        if compared
        else "Not tested yet: these scores are predictions until a model is trained again"
    )
    with st.expander(title, icon=":material/fact_check:"):
        subsets = st.slider("Retrainings", 8, 128, 32, 8, key=f"subsets-{run.key}",
                            help="Each adds a different random half of the candidates to the training set")  # fmt: skip
        fit = find_run(spec.fit)
        each = float((fit.summary if fit else {}).get("seconds") or 0.0)
        cost = (
            f" Takes about {format_duration(each * (subsets + 1))}: training the model took {format_duration(each)}."
            if each
            else ""
        )
        st.caption(escape_markdown(f"Only the predictions of the retrained models are saved.{cost}"))
        check = LDS.of(spec, subsets)
        if st.button("Test by retraining", key=f"verify-{run.key}", icon=":material/play_arrow:"):
            submit(check)
            st.rerun()
        show_command(check)


def rescore_best(run: Run, scores: Scores) -> None:
    """Of a pool too large for all pairs of its molecules: score the best again, exactly and with full updates."""
    spec, n_scored = read_spec(run), int(scores.table["delta_loss"].notna().sum())
    if "whole_step" in scores.table or n_scored <= MAX_DETAILED or not isinstance(spec, Influence):
        return
    with st.expander(f"Score the best {MAX_DETAILED:,} in more detail", icon=":material/filter_alt:"):
        st.caption(
            f"With {len(scores.table):,} candidates the effects of all pairs do not fit in memory. For the most "
            f"helpful {MAX_DETAILED:,} they do: each then has an interval, a full update, and its effect on each "
            "validation molecule."
        )
        best = Select(spec.pool, Top(count=MAX_DETAILED), spec)
        detailed = dataclasses.replace(spec, pool=best, solver=Auto(), scope="all")
        if st.button("Score these with all weights", key=f"closer-{run.key}", icon=":material/play_arrow:"):
            submit_and_show(detailed)
        show_command(detailed)


def compare_scores(run: Run, scores: Scores) -> None:
    """How far other scores of the same pool agree with these, whichever solver or model they come from."""
    digest = (scores.record.get("digests") or {}).get("pool")
    others = [
        one
        for one in list_runs(Scores)
        if digest
        and one.entry
        and one.key != run.key
        and (one.entry.summary.get("digests") or {}).get("pool") == digest
        and one.entry.summary.get("scored")
    ]
    if not others:
        return
    with st.expander("Compare with other scores of these candidates", icon=":material/difference:"):
        chosen = st.selectbox("Other scores", others, format_func=lambda one: one.label, key=f"beside-{run.key}")
        one, two = (each.table["delta_loss"].to_numpy(float) for each in (scores, load_product(chosen.entry)))
        both = np.isfinite(one) & np.isfinite(two)
        if both.sum() < 3:
            st.info("Fewer than three molecules have both scores.")
            return
        st.markdown(
            f"Spearman ρ **{format_number(spearman(one[both], two[both]))}** over {int(both.sum()):,} molecules. Of "
            f"the most helpful tenth, **{format_percent(top_overlap(one[both], two[both], TOP_SHARE))}** is shared; "
            f"{format_percent(np.mean(np.sign(one[both]) == np.sign(two[both])))} of the molecules have the same sign."
        )
        figure = figures.plot_score_agreement(one, two, ("these", "the others"), str(scores.record.get("unit", "")))
        st.plotly_chart(figure, key=f"agree-{run.key}", config=figures.CONFIG, alt="ΔL of both scores")
