"""Choosing a table, its split, a pool of candidates, and a trained model."""

import dataclasses

import streamlit as st

from core.data.dataset import Dataset
from core.engine.spec import BadInput, Spec
from core.experiments import LabelNoise, Load, Select, Split
from core.experiments.data.load import BUNDLED
from core.results.fit import PARTS, Fit
from pages.base.address import door, read_address
from pages.base.service import get_service, settle
from pages.forms.spec_form import spec_form
from pages.widgets.run_picker import Run, finished_runs, read_spec, show_missing_run

NEEDS_SINGLE_NETWORK = (
    "Influence needs a single trained network. Choose a fine-tuned model (not a baseline, ensemble or multitask head)."
)
ADD_TABLE = "Add your own on the page Data"


def list_tables(labelled: bool = True) -> dict[str, tuple[str, Spec[Dataset]]]:
    """Tables to choose from by key: those saved with "Use this table", then the built-in ones."""
    tables = {}
    for entry in get_service().store.entries():
        if (
            entry.kind not in ("load", "corrected-table")
            or entry.damaged
            or (labelled and not entry.summary.get("tasks"))
        ):
            continue
        try:
            load = entry.spec
        except BadInput:
            continue
        name = load.title.removeprefix("load ")
        tables[entry.key] = (f"{name} · {entry.summary.get('rows', 0):,} molecules", load)
    for name, bundled in BUNDLED.items():
        load = Load(f"bundled:{name}")
        if load.key not in tables and (bundled.targets != () or not labelled):
            tables[load.key] = (f"{name} · built in", load)
    return tables


def choose_table(
    label: str, key: str, labelled: bool = True, help: str | None = None, start: Spec[Dataset] | None = None
) -> Spec[Dataset]:
    """A box with the known tables. It starts with `start`, or else with the one used last."""
    tables = list_tables(labelled)
    names = list(tables)
    if asked := read_address("table"):
        st.session_state["table"] = asked
    last = start.key if start is not None else st.session_state.get("table")
    if start is not None and last not in tables:
        tables, names = {last: (start.title, start), **tables}, [last, *names]
    key = f"{key}-{last[:8]}" if start is not None else key
    index = names.index(last) if last in names else 0
    chosen = st.selectbox(label, names, index=index, format_func=lambda k: tables[k][0], key=key, help=help)
    return tables[chosen][1]


def choose_split(table: Spec[Dataset], key: str, start: Split | None = None) -> dict[str, Split] | None:
    """The split of a table: its sets by name, "pool" among them if it has a size; nothing while the form is wrong."""
    bundled = isinstance(table, Load) and table.source.startswith("bundled:")
    start = start or Split(table, valid=0.15, test=0.15, pool=0.25 if bundled else 0.0)
    fixed = {"table": table, "part": "train"}
    first = spec_form(Split, key, fixed, start=start, hidden=("train",) if start.train is None else ())
    if first is None:
        return None
    sizes = {name: getattr(first, name) for name in ("train", "valid", "test", "pool")}
    return {name: dataclasses.replace(first, part=name) for name, size in sizes.items() if size != 0}


def require_three_sets(parts: dict[str, Split] | None) -> dict[str, Split] | None:
    """Training, validation and test set of a split; an error and nothing where one of them has no size."""
    sets = {name: parts[name] for name in PARTS if name in parts} if parts is not None else {}
    if parts is not None and len(sets) < len(PARTS):
        st.error(
            "Give the validation and the test set a size: the first chooses the best epoch, the second reports the "
            "error."
        )
    return sets if len(sets) == len(PARTS) else None


def choose_pool(fit: Spec[Fit], key: str) -> Spec[Dataset] | None:
    """Candidate compounds: the pool set aside when the model's table was split, or a table that it was not trained on.

    Without a pool set aside nothing is preselected. Nothing, and the reason, while no table is chosen, or its own is.
    """
    own_pool = fit.split_parts.get("train")
    own_pool = (
        dataclasses.replace(own_pool, part="pool") if isinstance(own_pool, Split) and own_pool.pool != 0 else None
    )
    first = {"aside": ("the pool set aside from the model’s own table", own_pool)} if own_pool is not None else {}
    own_tables = find_own_tables(fit)
    pools = first | {
        name: (f"{words} · the model’s own table" if settle(table).key in own_tables else words, table)
        for name, (words, table) in list_tables().items()
    }
    slot = f"{key}-pool"
    if st.session_state.get(slot) not in pools:  # of another model
        st.session_state.pop(slot, None)
    chosen = st.selectbox(
        "Candidate compounds (pool)",
        list(pools),
        index=0 if first else None,
        placeholder="Choose candidates",
        format_func=lambda k: pools[k][0],
        key=slot,
        help="With measured values; or without, to rank them by the expected information gain of measuring them",
    )
    if chosen is None:
        st.info("Choose candidates. This model’s table was split without a pool, so none are set aside.")
        return None
    pool = pools[chosen][1]
    if settle(pool).key in own_tables:
        st.error(
            "The model was trained, validated and tested on this table, so its molecules are no candidates. Choose "
            "another table, or train again with a pool set aside."
        )
        return None
    help_ = "A check: some candidates get the label of another one. Good scores should rank them as harmful."
    if not st.toggle("Swap some labels on purpose", key=f"{key}-plant", help=help_):
        return pool
    share = st.slider("Share swapped", 0.05, 0.5, 0.2, 0.05, key=f"{key}-share")
    return LabelNoise(pool, fraction=share)


def find_own_tables(fit: Spec[Fit]) -> set[str]:
    """Keys of the tables that hold a model's training, validation and test molecules, and of those they come from."""
    keys: set[str] = set()
    waiting = list(fit.split_parts.values())
    while waiting:
        table = waiting.pop()
        keys.add(settle(table).key)
        if not isinstance(table, Select):  # a selection comes from other candidates
            waiting += [part for part in table.iterate_parts() if part.product is Dataset]
    return keys


def choose_fit(label: str, key: str) -> Run | None:
    """A box with the models that have a gradient, arms of comparisons last; nothing if there is none."""
    fits = {run.key: run for run, _ in finished_runs(Fit)}
    usable = {key: run for key, run in fits.items() if Spec.kinds[run.kind].has_gradient}
    asked = read_address("fit")
    if asked and asked not in fits:
        show_missing_run(asked, noun="Model")
    if fits and (not usable or asked in fits.keys() - usable.keys()):
        st.warning(NEEDS_SINGLE_NETWORK)
    if not usable:
        return None
    names = sorted(usable, key=lambda key: bool(usable[key].arm))
    last = asked or st.session_state.get("last-run-Fit-Checkpoint")
    index = names.index(last) if last in names else 0
    return usable[st.selectbox(label, names, index=index, format_func=lambda k: usable[k].label, key=key)]


def read_fit_spec(run: Run) -> Spec[Fit] | None:
    """The spec of a fit, if it names its validation set; else a warning."""
    spec = read_spec(run)
    if spec is not None and "valid" not in spec.split_parts:
        st.warning("This model has no validation set of its own. Choose another model.")
        return None
    return spec


def show_no_model(words: str = "There is no fine-tuned model yet. Train one, or run the demo.") -> None:
    """A note that there is no model, with a button to the page Train."""
    st.info(words, icon=":material/model_training:")
    door("Go to Train", "pages/views/train.py", "train", ":material/arrow_forward:")
