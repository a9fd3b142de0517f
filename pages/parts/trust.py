"""How far scores can be believed: in numbers above the ranking, and molecule by molecule."""

import numpy as np
import pandas as pd
import streamlit as st

from core import figures
from core.comparison import Comparison
from core.experiments import Influence, Verify
from core.metrics import spearman
from core.scores import Scores
from core.tangent import on_each
from core.verification import Verification
from pages.parts.job_panel import job_panel
from pages.parts.molecules import cards, pictures
from pages.parts.runs import Run, readable, runs
from pages.parts.service import entry_of, product, submit
from pages.parts.shell import command
from pages.parts.words import duration, number, plain, signed

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
    """What training again said of these scores: with random halves of the pool, and with what they choose."""
    proofs = [one for one in runs(Verification) if one.entry and run.key in one.entry.summary.get("scores", ())]
    studies = [one for one in runs(Comparison) if one.entry and one.entry.summary.get("scores") == run.key]
    for proof in proofs[:1]:
        st.markdown(f"**Verified.** {plain(proof.entry.summary['verdict'])}")
        foretold(proof)
    for study in studies[:1]:
        st.markdown(f"**Trained again:** {plain(study.entry.summary.get('verdict', ''))}")
        st.page_link("pages/views/compare.py", label="The comparison", icon=":material/compare_arrows:",
                     query_params={"run": study.key})  # fmt: skip
    if not proofs:
        to_verify(run, bool(studies))


def foretold(proof: Run) -> None:
    """Predicted against measured changes of the target loss, a point a retraining."""
    found = product(proof.entry)
    with st.expander("Retrainings against what was predicted", icon=":material/fact_check:"):
        ways = sorted(found.record["ways"], key=lambda one: -one["spearman"])
        names = [one["name"] for one in ways]
        name = st.selectbox("Predicted by", names, key=f"way-{proof.key}")
        figure = figures.foretold(found.table[name], found.table["measured"], found.record["unit"])
        st.plotly_chart(figure, key=f"told-{proof.key}", config=figures.CONFIG, alt="Predicted and measured changes")
        shown = pd.DataFrame(ways)[["name", "spearman", "low", "high"]]
        st.dataframe(
            shown.rename(columns={"name": "way", "spearman": "Spearman ρ", "low": "from", "high": "to"}),
            hide_index=True,
            alt="Linear datamodelling score of each way, with its 95 % interval",
            column_config={name: st.column_config.NumberColumn(format="%.2f") for name in ("Spearman ρ", "from", "to")},
        )
        st.caption(
            f"{found.record['subsets']} retrainings, each with another random {found.record['members']} molecules of "
            "the pool; the linear datamodelling score, with its 95 % bootstrap interval over them."
        )


def to_verify(run: Run, chosen: bool) -> None:
    """Ask for a verification, with what it will take; or show how one fares."""
    spec = readable(run)
    if not isinstance(spec, Influence):
        return
    waiting = [one for one in runs(Verification) if one.job and run.key in {part.key for part in one.spec.scores}]
    if waiting:
        job_panel(waiting[0].key)
        return
    words = "Not verified by retraining with random halves yet." if chosen else (
        "Not verified yet: a score is a prediction until something is trained again."
    )  # fmt: skip
    with st.expander(words, icon=":material/fact_check:"):
        subsets = st.slider("Retrainings", 8, 128, 32, 8, key=f"subsets-{run.key}",
                            help="each with another random half of the pool")  # fmt: skip
        fit = entry_of(spec.fit.key)
        each = float((fit.summary if fit else {}).get("seconds") or 0.0)
        told = f"About {duration(each * (subsets + 1))} here: the fit took {duration(each)}." if each else ""
        st.caption(plain(f"Nothing is kept of the networks but their predictions. {told}"))
        recipe = Verify.of(spec, subsets)
        if st.button("Verify", key=f"verify-{run.key}", icon=":material/play_arrow:"):
            submit(recipe)
            st.rerun()
        command(recipe)


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
