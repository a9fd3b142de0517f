"""What training again said of scores, and how to ask for it."""

import pandas as pd
import streamlit as st

from core.experiments import Influence, MeanInfluence, Verify
from core.figures import base as figures
from core.results.comparison import Comparison
from core.results.datamodel_check import Verification
from pages.base.service import entry_of, product, submit
from pages.base.text import duration, plain
from pages.widgets.frame import command
from pages.widgets.job_panel import job_panel
from pages.widgets.run_picker import Run, readable, runs


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
    if not isinstance(spec, (Influence, MeanInfluence)):
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
