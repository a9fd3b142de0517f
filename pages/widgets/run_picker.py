"""The runs of a kind of product, the one that the address names (`?run=KEY`), and doors to the page of a run."""

import contextlib
import dataclasses
from datetime import datetime
from typing import Any

import streamlit as st

from core.engine.former_names import current_kind
from core.engine.job_queue import Job
from core.engine.spec import BadInput, Spec, read_spec_json
from core.engine.store import Entry
from core.models.backbones.checkpoint import Checkpoint
from core.models.multitask_model import MultitaskModel
from pages.base.address import door, open_page, read_address, write_address
from pages.base.service import find_entry, get_service
from pages.base.text import as_sentence, capitalise, escape_markdown

TRIAL = "learning-rate trial"


@dataclasses.dataclass(frozen=True)
class Run:
    """A job, a saved result or both, under one key."""

    key: str
    kind: str  # by its current name
    title: str
    moment: float  # unix s: when it was made or submitted
    entry: Entry | None = None
    job: Job | None = None
    arm: str = ""  # of the study it was made for, "" if it was submitted by itself

    @property
    def state(self) -> str:
        return "done" if self.entry else self.job.state

    @property
    def spec(self) -> Spec:
        """The spec. Raises `BadInput` where this version cannot read it."""
        return self.entry.spec if self.entry else read_spec_json(self.job.spec)

    @property
    def name(self) -> str:
        """The title, preceded by the arm and the seed if the run was made for a study."""
        if not self.arm:
            return capitalise(self.title)
        summary = self.entry.summary if self.entry else {}
        if self.arm == TRIAL:
            return f"Learning-rate trial, {summary.get('learning_rate') or 0:g}: {self.title}"
        seed = summary.get("seed")
        suffix = "" if seed is None or self.arm.endswith(f", {seed}") else f", seed {seed}"
        return f"Arm “{self.arm}”{suffix}: {self.title}"

    @property
    def label(self) -> str:
        state = "not done yet" if self.state in ("waiting", "running") else self.state  # the box is not live
        metric = self.entry.headline if self.entry else state
        date = datetime.fromtimestamp(self.moment).strftime("%d %b %H:%M")
        return " · ".join(part for part in (self.name, metric, date, self.key[:6]) if part)


def list_runs(*products: type, kind: str = "") -> list[Run]:
    """Runs that yield one of these products, or those of one kind of spec, newest first; all if neither is given."""
    kinds = {kind} if kind else {kind for kind, cls in Spec.kinds.items() if cls.product in products}

    def wanted(kind: str) -> bool:
        return not (products or kinds) or _current_name(kind) in kinds

    jobs = {job.key: job for job in get_service().queue.jobs() if wanted(job.kind)}
    entries = [entry for entry in get_service().store.entries() if not entry.damaged]
    arms = map_arms(entries)
    runs = [
        Run(e.key, _current_name(e.kind), e.title, _moment(e.made), e, jobs.pop(e.key, None), arms.get(e.key, ""))
        for e in entries
        if wanted(e.kind)
    ]
    unfinished = [job for job in jobs.values() if job.state != "done"]
    runs += [Run(job.key, _current_name(job.kind), job.title, job.submitted, None, job) for job in unfinished]
    return sorted(runs, key=lambda run: run.moment, reverse=True)


def map_arms(entries: list[Entry]) -> dict[str, str]:
    """The arm of a study that a fit was made for, by the fit's key; the base model of a study has none.

    A run of a learning-rate search is a `TRIAL`, unless it is an arm too.
    """
    tuned = [entry.summary["tuned"] for entry in entries if isinstance(entry.summary.get("tuned"), dict)]
    arms = {key: TRIAL for one in tuned for key in one.get("trials", ())}
    for entry in entries:
        for name in ("trunks", "fits"):  # of a study of mixtures, of a transfer
            if isinstance(entry.summary.get(name), dict):
                arms |= {key: str(arm) for arm, key in entry.summary[name].items()}
    for summary in (entry.summary for entry in entries if isinstance(entry.summary.get("arms"), list)):
        for arm in summary["arms"]:
            arms |= {key: str(arm["name"]) for key in arm.get("fits", ()) if key != summary.get("base_fit")}
    return arms


def choose_run(label: str, *products: type, kind: str = "") -> Run | None:
    """A box to choose a run; a choice is stored in the address and for this visit. Nothing if there are no runs."""
    runs = {run.key: run for run in list_runs(*products, kind=kind)}
    slot = f"last-run-{kind or '-'.join(product.__name__ for product in products)}"
    wanted = read_address("run")
    if wanted and wanted not in runs:
        show_missing_run(wanted, "Another run is shown instead." if runs else "")
        wanted = ""
    wanted = wanted or st.session_state.get(slot)
    if not runs:
        return None
    keys, labels = list(runs), {key: run.label for key, run in runs.items()}
    box = f"{slot}-{hash(tuple(labels.values()))}"  # the choice is stored by its label, and labels change

    def choose() -> None:
        st.session_state[slot] = st.session_state[box]
        write_address(run=st.session_state[box])

    st.session_state[box] = wanted if wanted in runs else keys[0]  # what the address names, also after Back
    key = st.selectbox(label, keys, format_func=labels.get, key=box, on_change=choose)
    st.session_state[slot] = key
    return runs[key]


def show_missing_run(key: str, instead: str = "", noun: str = "Run") -> None:
    """A note that this page has no run with the key of the address, with a door to the page that has it."""
    entry = find_entry(key)
    if entry is None:
        st.warning(f"{noun} {escape_markdown(key[:16])} was deleted, or was never in this library. {instead}".strip())
    else:
        st.warning(f"{noun} {escape_markdown(key[:16])} is shown on another page. {instead}".strip())
        run_door("Open it there", entry.key, entry.kind, "missing-run")


def read_spec(run: Run) -> Spec | None:
    """The spec of a run, or a sentence on the page why it cannot be read."""
    try:
        return run.spec
    except BadInput as error:
        st.warning(escape_markdown(as_sentence(error)), icon=":material/info:")
        return None


def finished_runs(*products: type, kind: str = "") -> list[tuple[Run, Spec]]:
    """Finished runs with their specs, without those of earlier versions, whose results are not read."""
    runs = []
    for run in list_runs(*products, kind=kind):
        with contextlib.suppress(BadInput):
            if run.entry:
                run.entry.check_current()
                runs.append((run, run.spec))
    return runs


def specs_by_label(*products: type) -> dict[str, Spec]:
    """Specs of finished runs by their labels."""
    return {run.label: spec for run, spec in finished_runs(*products)}


def trained_backbones() -> dict[str, Spec]:
    """Backbones that were trained here, by their labels: adapted, pre-trained and shared ones."""
    words = {"multitask": "multitask", "pretrain": "pre-trained"}
    return {
        f"{words.get(spec.kind, 'adapted')}: {label}": spec
        for label, spec in specs_by_label(Checkpoint, MultitaskModel).items()
    }


def show_after_rerun(key: str) -> None:
    """Draw the page again with this run."""
    write_address(run=key)
    st.rerun()


def page_of(kind: str) -> str:
    """The file of the page that shows a kind of run; that of all runs where the kind is unknown."""
    cls = Spec.kinds.get(_current_name(kind), Spec)
    return f"pages/views/{cls.page}.py"


def locate_run(key: str, kind: str) -> tuple[str, str]:
    """The page that shows a run, and the key in its address: part of another run is shown with that one."""
    entry = find_entry(key)
    with contextlib.suppress(BadInput):  # a run of another version, which only the list of runs shows
        spec = entry.spec if entry else None
        if spec is not None and spec.page_owner is not spec:
            key, kind = (spec.page_owner.key, spec.page_owner.kind) if spec.key == key else (key, "")
    return page_of(kind), key


def open_run(key: str, kind: str) -> None:
    """Switch to the page that shows this run, after something was done here; see `run_door`."""
    page, key = locate_run(key, kind)
    open_page(page, run=key)


def run_door(
    label: str, key: str, kind: str, slot: str, icon: str | None = ":material/arrow_forward:", **look: Any
) -> None:
    """A link to the page that shows this run."""
    page, shown = locate_run(key, kind)
    door(label, page, f"{slot}-{key}", icon, **look, run=shown)


def _current_name(kind: str) -> str:
    """The current name of a kind."""
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
    "run_door",
    "show_after_rerun",
    "trained_backbones",
]
