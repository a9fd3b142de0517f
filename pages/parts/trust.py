"""How far scores can be believed: in numbers above the ranking, and molecule by molecule."""

import numpy as np
import pandas as pd
import streamlit as st

from core import figures
from core.comparison import Comparison
from core.metrics import spearman
from core.scores import Scores
from core.tangent import on_each
from pages.parts.molecules import cards, pictures
from pages.parts.runs import Run, runs
from pages.parts.service import product
from pages.parts.words import number, plain, signed

SHOWN = 12  # training molecules whose labels look least like the others'
NEAR = 3  # molecules of the target shown beside one of the pool


def believed(run: Run, scores: Scores) -> None:
    """What training again said of these scores, and four numbers that cost no training."""
    verified(run)
    record, table = scores.record, scores.table
    known = int(table["delta_loss"].notna().sum())
    found = []
    if "delta_loss_low" in table:
        clear = record["pairs_check"]["delta_loss_clear"]
        found.append(
            (
                "Clear of zero",
                f"{clear:,} of {known:,}",
                "scores whose 95 % interval, over which molecules happen to be in the target, leaves zero out",
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


def verified(run: Run) -> None:
    """The verdict of a study that trained again with what these scores choose."""
    for one in runs(Comparison):
        summary = one.entry.summary if one.entry else {}
        if summary.get("scores") == run.key:
            st.markdown(f"**Trained again:** {plain(summary.get('verdict', ''))}")
            st.page_link("pages/views/compare.py", label="The comparison", icon=":material/compare_arrows:",
                         query_params={"run": one.key})  # fmt: skip
            return
    st.caption("Not verified yet: train again with what these scores choose (Compare), before you rely on them.")


def beside_target(scores: Scores, row: int, unit: str, loss_unit: str) -> None:
    """The molecules of the target that one of the pool would help and hurt most, if their pairs are known."""
    if not scores.tangent or pd.isna(scores.table["delta_loss"].iloc[row]):
        return
    one = scores.table.iloc[row]
    st.markdown(
        f"In its whole step: **{signed(one['whole_step'])}** ({_between(one, 'whole_step')}). To first order "
        f"{_between(one, 'delta_loss')}, 95 % over the target’s molecules."
    )
    effects = on_each(scores.tangent, scores.record, row) * scores.record["unit_factor"]
    order = np.argsort(effects, kind="stable")
    for words, rows in (("helps most", order[:NEAR]), ("hurts most", order[::-1][:NEAR])):
        rows = [place for place in rows if (effects[place] < 0) == (words == "helps most") and effects[place]]
        if not rows:
            continue
        st.caption(f"Of the target it {words} (change of that molecule’s own loss)")
        shown = scores.target.iloc[rows].assign(note=[f"change {signed(effects[place])}" for place in rows])
        cards(shown[[name for name in ("smiles", "label", "note") if name in shown]], unit, style="ms-three")


def _between(row: pd.Series, name: str) -> str:
    return f"{signed(row[f'{name}_low'])} to {signed(row[f'{name}_high'])}"


def left_out(scores: Scores, unit: str) -> None:
    """Training molecules that the model would predict worst without themselves: wrong labels are among them."""
    training = scores.training
    if "leave_one_out" not in training:
        return
    with st.expander("Training labels that look wrong", icon=":material/rule:"):
        st.markdown(
            "How far the label lies from the prediction of the model *without* this molecule, by its leverage: no "
            "training is done again. Far out is a wrong label, or a kind of molecule the model knows nothing of else."
        )
        found = training.assign(without=training["label"] + training["leave_one_out"])
        found = found.assign(far=found["leave_one_out"].abs()).sort_values("far", ascending=False).head(SHOWN)
        columns = {
            "structure": pictures(found["smiles"].tolist()),
            "label": found["label"],
            "prediction without it": found["without"],
            "prediction": found["prediction"],
            "leverage": found["leverage"],
            "removal": found["removal"],
            "smiles": found["smiles"],
        }
        number_format = st.column_config.NumberColumn(format="%.3g")
        st.dataframe(
            pd.DataFrame(columns),
            hide_index=True,
            row_height=84,
            alt="Training molecules far from the prediction of the model without them",
            column_config={
                "structure": st.column_config.ImageColumn(width=140),
                **{name: number_format for name in ("label", "prediction without it", "prediction")},
                "leverage": st.column_config.NumberColumn(
                    format="%.2f", help="share of the fitted value that comes from its own label"
                ),
                "removal": st.column_config.NumberColumn(
                    "ΔL if removed", format="%.3g", help="below zero: the target loss would fall without it"
                ),
            },
        )
        st.caption(plain(f"In {unit}. The export has every training molecule.") if unit else "")


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
