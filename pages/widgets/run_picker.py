"""The runs of a kind of product, and the one that the address names: `?run=KEY`."""

import contextlib
import dataclasses
from datetime import datetime

import streamlit as st

from core.engine.former_names import current_kind
from core.engine.job_queue import Job
from core.engine.spec import BadInput, Spec, read_spec_json
from core.engine.store import Entry
from core.models.backbones.checkpoint import Checkpoint
from core.models.multitask_model import MultitaskModel
from pages.base.service import find_entry, get_service
from pages.base.text import capitalise, escape_markdown

TRIAL = "learning-rate trial"


@dataclasses.dataclass(frozen=True)
class Run:
    """A job, a product or both, under one key."""

    key: str
    kind: str  # by its present name
    title: str
    moment: float  # unix s: when it was made or submitted
    entry: Entry | None = None
    job: Job | None = None
    arm: str = ""  # of a study it was made for, "" if it was asked for by itself

    @property
    def state(self) -> str:
        return "done" if self.entry else self.job.state

    @property
    def spec(self) -> Spec:
        """The recipe. Raises `BadInput` where this version does not know it any more."""
        return self.entry.spec if self.entry else read_spec_json(self.job.spec)

    @property
    def name(self) -> str:
        """The title; of a fit made for a study, what tells it from the others first."""
        if not self.arm:
            return capitalise(self.title)
        summary = self.entry.summary if self.entry else {}
        if self.arm == TRIAL:
            return f"Learning-rate trial, {summary.get('learning_rate') or 0:g}: {self.title}"
        seed = summary.get("seed")
        told = "" if seed is None or self.arm.endswith(f", {seed}") else f", seed {seed}"
        return f"Arm “{self.arm}”{told}: {self.title}"

    @property
    def label(self) -> str:
        state = "not done yet" if self.state in ("waiting", "running") else self.state  # the box is not live
        metric = self.entry.headline if self.entry else state
        made = datetime.fromtimestamp(self.moment).strftime("%d %b %H:%M")
        return " · ".join(part for part in (self.name, metric, made, self.key[:6]) if part)


def list_runs(*products: type, kind: str = "") -> list[Run]:
    """Runs that yield one of these products, or those of one kind of spec, newest first; all if none is named."""
    kinds = {kind} if kind else {kind for kind, cls in Spec.kinds.items() if cls.product in products}

    def wanted(kind: str) -> bool:
        return not (products or kinds) or _present(kind) in kinds

    jobs = {job.key: job for job in get_service().queue.jobs() if wanted(job.kind)}
    entries = [entry for entry in get_service().store.entries() if not entry.damaged]
    arms = map_arms(entries)
    found = [
        Run(e.key, _present(e.kind), e.title, _moment(e.made), e, jobs.pop(e.key, None), arms.get(e.key, ""))
        for e in entries
        if wanted(e.kind)
    ]
    found += [Run(j.key, _present(j.kind), j.title, j.submitted, None, j) for j in jobs.values() if j.state != "done"]
    return sorted(found, key=lambda run: run.moment, reverse=True)


def map_arms(entries: list[Entry]) -> dict[str, str]:
    """The arm of a study that a fit was made for, by the fit's key; a fit that a study began from has none.

    What a tuning tried is a `TRIAL`, unless it is an arm too.
    """
    tuned = [entry.summary["tuned"] for entry in entries if isinstance(entry.summary.get("tuned"), dict)]
    found = {key: TRIAL for one in tuned for key in one.get("trials", ())}
    for entry in entries:
        for name in ("trunks", "fits"):  # of a study of mixtures, of a transfer
            if isinstance(entry.summary.get(name), dict):
                found |= {key: str(arm) for arm, key in entry.summary[name].items()}
    for summary in (entry.summary for entry in entries if isinstance(entry.summary.get("arms"), list)):
        for arm in summary["arms"]:
            found |= {key: str(arm["name"]) for key in arm.get("fits", ()) if key != summary.get("base_fit")}
    return found


def choose_run(label: str, *products: type, kind: str = "") -> Run | None:
    """A box to choose a run with, kept in the address and for this visit; nothing while there are none."""
    found = {run.key: run for run in list_runs(*products, kind=kind)}
    slot = f"last-run-{kind or '-'.join(product.__name__ for product in products)}"
    wanted = st.query_params.get("run")
    if wanted and wanted not in found and found:
        st.warning(
            f"Run {escape_markdown(wanted[:16])} was deleted or is shown on another page. Showing the newest run instead."
        )
        wanted = None
    wanted = wanted or st.session_state.get(slot)
    if not found:
        return None
    keys, labels = list(found), {key: run.label for key, run in found.items()}
    box = f"{slot}-{hash(tuple(labels.values()))}"  # a box knows its choices by their labels, and these change

    def choose() -> None:
        st.query_params["run"] = st.session_state[box]

    place = keys.index(wanted) if wanted in found else 0
    key = st.selectbox(label, keys, index=place, format_func=labels.get, key=box, on_change=choose)
    st.query_params["run"] = st.session_state[slot] = key
    return found[key]


def read_spec(run: Run) -> Spec | None:
    """The recipe of a run, or a sentence on the page why it cannot be read."""
    try:
        return run.spec
    except BadInput as error:
        st.warning(escape_markdown(error))
        return None


def finished_runs(*products: type, kind: str = "") -> list[tuple[Run, Spec]]:
    """Finished runs with their recipes, without those that this version reads no more or makes otherwise."""
    found = []
    for run in list_runs(*products, kind=kind):
        with contextlib.suppress(BadInput):
            if run.entry:
                run.entry.check_current()
                found.append((run, run.spec))
    return found


def specs_by_label(*products: type) -> dict[str, Spec]:
    """Recipes of finished runs by their labels."""
    return {run.label: spec for run, spec in finished_runs(*products)}


def trained_backbones() -> dict[str, Spec]:
    """Backbones that were trained here, by their labels: adapted, pre-trained and shared ones."""
    words = {"multitask": "multitask", "pretrain": "pre-trained"}
    return {
        f"{words.get(spec.kind, 'adapted')}: {label}": spec
        for label, spec in specs_by_label(Checkpoint, MultitaskModel).items()
    }


def show_after_rerun(key: str) -> None:
    """Show this run after the next drawing of the page."""
    st.query_params["run"] = key
    st.rerun()


def page_of(kind: str) -> str:
    """The file of the page that shows a kind of run; that of all runs where the kind is unknown."""
    known = Spec.kinds.get(_present(kind), Spec)
    return f"pages/views/{known.page}.py"


def locate_run(key: str, kind: str) -> tuple[str, str]:
    """The page that shows a run, and the key it is shown under: what belongs to another run is shown with that one."""
    entry = find_entry(key)
    with contextlib.suppress(BadInput):  # a run of another version, which only the list of runs shows
        spec = entry.spec if entry else None
        if spec is not None and spec.page_owner is not spec:
            key, kind = (spec.page_owner.key, spec.page_owner.kind) if spec.key == key else (key, "")
    return page_of(kind), key


def open_run(key: str, kind: str) -> None:
    """Switch to the page that shows this run."""
    page, key = locate_run(key, kind)
    st.switch_page(page, query_params={"run": key})


def _present(kind: str) -> str:
    """What a kind is called now."""
    return current_kind(kind, Spec.kinds)


def _moment(made: str) -> float:
    try:
        return datetime.fromisoformat(made).timestamp()
    except ValueError:
        return 0.0


__all__ = [
    "Run",
    "choose_run",
    "find_entry",
    "finished_runs",
    "list_runs",
    "locate_run",
    "open_run",
    "page_of",
    "read_spec",
    "show_after_rerun",
    "trained_backbones",
]
