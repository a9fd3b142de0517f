"""How far scores can be believed: in numbers above the ranking, and molecule by molecule."""

import dataclasses

import numpy as np
import pandas as pd
import streamlit as st

from core.experiments import Influence, Select
from core.figures import base as figures
from core.influence.linearized import on_each
from core.influence.solvers import Auto
from core.results.scores import Scores
from core.selection import Top
from core.stats.formatting import number
from core.stats.metrics import spearman
from pages.base.service import product, submit
from pages.base.text import signed
from pages.widgets.frame import command
from pages.widgets.molecules import cards
from pages.widgets.run_picker import Run, go, readable, runs

NEAR = 3  # molecules of the target shown beside one of the pool
FEW = 1000  # molecules of a large pool that are looked at more closely


def believed(scores: Scores) -> None:
    """What can be known without training again, in a few numbers."""
    record, table = scores.record, scores.table
    known = int(table["delta_loss"].notna().sum())
    found = []
    agreement = record.get("agreement") or {}
    if agreement.get("spearman") is not None:
        found.append(
            (
                f"{len(record['seeds'])} fits agree",
                f"ρ {number(agreement['spearman'])}",
                "mean Spearman correlation of the scores by two of the fits, which differ by their seed alone; lowest "
                f"{number(agreement['lowest'])}; of the best tenth by one, {agreement['overlap']:.0%} are the best by "
                "another",
            )
        )
    if "delta_loss_low" in table:
        clear = record["pairs_check"]["delta_loss_clear"]
        found.append(
            (
                "Clear of zero",
                f"{clear:,} of {known:,}",
                "scores whose 95 % interval leaves zero out: over which molecules happen to be in the target"
                + (", and over the fits" if agreement else ""),
            )
        )
    stability = record.get("stability") or {}
    if stability:
        worst = min(stability.values(), key=lambda one: one["spearman"] or -1.0)
        found.append(
            (
                "Order at other dampings",
                f"ρ {number(worst['spearman'])}",
                "the lower of Spearman's correlations with the scores at a third and at three times the damping; "
                f"of the best tenth {worst['overlap']:.0%} stay",
            )
        )
    if "whole_step" in table:
        found.append(
            (
                "Whole steps agree",
                f"ρ {number(record['pairs_check']['spearman'])}",
                "Spearman's correlation of first-order scores with what each molecule does in its whole step",
            )
        )
    found.append(
        (
            "Residual",
            f"{record.get('residual', float('nan')):.1e}",
            "of the linear system, over the gradient, recomputed on the whole training part",
        )
    )
    for column, (name, value, help_text) in zip(st.columns(len(found)), found, strict=True):
        column.metric(name, value, help=help_text)


def likely(scores: Scores, row: int) -> None:
    """Between what the score of one molecule lies, and what it does in its whole step."""
    one = scores.table.iloc[row]
    if "delta_loss_low" not in one or pd.isna(one["delta_loss"]):
        return
    over = "the target’s molecules" + (" and the fits" if "delta_loss_sd" in one else "")
    whole = f"In its whole step **{signed(one['whole_step'])}** ({_between(one, 'whole_step')}); to" if (
        "whole_step" in one
    ) else "To"  # fmt: skip
    st.markdown(f"{whole} first order {_between(one, 'delta_loss')}: 95 % over {over}.")


def beside_target(scores: Scores, row: int, unit: str, loss_unit: str) -> None:
    """The molecules of the target that one of the pool would help and hurt most, if their pairs are known."""
    if not scores.tangent or pd.isna(scores.table["delta_loss"].iloc[row]):
        return
    effects = on_each(scores.tangent, scores.record, row) * scores.record["unit_factor"]
    order = np.argsort(effects, kind="stable")
    for words, rows in (("helps most", order[:NEAR]), ("hurts most", order[::-1][:NEAR])):
        rows = [place for place in rows if (effects[place] < 0) == (words == "helps most") and effects[place]]
        if not rows:
            continue
        st.caption(f"Of the target it {words} (change of that molecule’s own loss)")
        shown = scores.target.iloc[rows].assign(delta_loss=effects[rows])
        cards(shown[[name for name in ("smiles", "label", "delta_loss") if name in shown]], unit, loss_unit, "ms-three")


def owed(scores: Scores, row: int, unit: str) -> None:
    """The training molecules without which this prediction would be most different, if the dual told them."""
    if "made_by" not in scores.tangent or len(scores.record["tasks"]) > 1 or "label" not in scores.training:
        return
    place = int((~np.isnan(scores.tangent["target_labels"])).sum()) + row
    effects = scores.tangent["made_by"][place] * scores.record["unit_factor"] ** 0.5
    order = np.argsort(effects, kind="stable")
    for words, rows in (("raised", order[::-1][:NEAR]), ("lowered", order[:NEAR])):
        rows = [each for each in rows if (effects[each] > 0) == (words == "raised") and effects[each]]
        if rows:
            st.caption(
                f"Training molecules that {words} this prediction most (how different it is for their being there)"
            )
            mine = scores.training.iloc[scores.tangent["made_of"][rows]]
            notes = [f"by {signed(effects[each])}" for each in rows]
            cards(mine[["smiles", "label"]].assign(note=notes), unit, style="ms-three")


def _between(row: pd.Series, name: str) -> str:
    return f"{signed(row[f'{name}_low'])} to {signed(row[f'{name}_high'])}"


def as_the_report_did(record: dict) -> None:
    """What is wrong with scores made as in the report that this project began with."""
    if (record.get("solver") or {}).get("kind") != "identity":
        return
    said = [
        f"**No Hessian was inverted**: these are products of two gradients. Of the linear system "
        f"{record['residual']:.0%} is left unsolved, and a direction in which the training part is sure counts as much "
        "as one it knows nothing of."
    ]
    if any("the target is the test part" in text for text in record.get("warnings", [])):
        said.append(
            "**The target is the test part**: what is chosen to lower its loss cannot be judged by it. Take the "
            "validation part."
        )
    said.append(
        "**The sign**: the largest raw products gᵀg are the most helpful molecules, the largest *influences* (−gᵀg) "
        "the most harmful. The report kept the largest influences as its best samples; here ΔL below zero always helps."
    )
    with st.container(border=True):
        st.markdown("**Gradient similarity, as the report computed it, and what is wrong with it**")
        st.markdown("\n".join(f"{place}. {text}" for place, text in enumerate(said, 1)))


def closer(run: Run, scores: Scores) -> None:
    """Of a pool too large for every pair of its molecules: its best once more, by the dual, with whole steps."""
    spec, known = readable(run), int(scores.table["delta_loss"].notna().sum())
    if "whole_step" in scores.table or known <= FEW or not isinstance(spec, Influence):
        return
    with st.expander(f"The best {FEW:,} more closely", icon=":material/filter_alt:"):
        st.caption(
            f"A pool of {len(scores.table):,} is too large to hold every pair of its molecules. Of its most helpful "
            f"{FEW:,} each can have an interval, its whole step, and what it does to each molecule of the target."
        )
        best = Select(spec.pool, Top(count=FEW), spec)
        recipe = dataclasses.replace(spec, pool=best, solver=Auto(), scope="all")
        if st.button("Score these by all weights", key=f"closer-{run.key}", icon=":material/play_arrow:"):
            go(submit(recipe))
        command(recipe)


def against_others(run: Run, scores: Scores) -> None:
    """Two scorings of one pool: how far they agree, whichever solver or fit they come from."""
    digest = (scores.record.get("digests") or {}).get("pool")
    others = [
        one
        for one in runs(Scores)
        if digest
        and one.entry
        and one.key != run.key
        and (one.entry.summary.get("digests") or {}).get("pool") == digest
        and one.entry.summary.get("scored")
    ]
    if not others:
        return
    with st.expander("Beside other scores of this pool", icon=":material/difference:"):
        chosen = st.selectbox("Other scores", others, format_func=lambda one: one.label, key=f"beside-{run.key}")
        other = product(chosen.entry)
        one, two = (found.table["delta_loss"].to_numpy(float) for found in (scores, other))
        both = np.isfinite(one) & np.isfinite(two)
        if both.sum() < 3:
            st.info("Fewer than three molecules have a score in both.")
            return
        k = max(1, int(both.sum()) // 10)
        best, best_other = (set(np.argsort(np.where(both, values, np.inf))[:k].tolist()) for values in (one, two))
        st.markdown(
            f"Spearman’s ρ **{number(spearman(one[both], two[both]))}** over {int(both.sum()):,} molecules; of the "
            f"most helpful {k:,} by one, **{len(best & best_other):,}** are among the most helpful {k:,} by the other; "
            f"{np.mean(np.sign(one[both]) == np.sign(two[both])):.0%} have the same sign."
        )
        figure = figures.agreement(one, two, ("these", "the others"), str(scores.record.get("unit", "")))
        st.plotly_chart(figure, key=f"agree-{run.key}", config=figures.CONFIG, alt="ΔL by the one and by the other")
