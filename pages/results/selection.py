"""A selection on a page: what it covers and adds, how it differs from the training set, and other selections."""

import numpy as np
import pandas as pd
import streamlit as st

from core.chem.molecules import as_sdf
from core.data.dataset import Dataset
from core.engine.spec import Spec
from core.experiments import Projection, Select
from core.figures import base as figures
from core.figures import selection as choice_figures
from core.selection.summary import compare_selections, descriptor_distributions, summarize_selection
from core.stats.formatting import format_number
from pages.base.service import find_job, find_run, load_product, submit
from pages.base.text import format_percent
from pages.widgets.frame import export_buttons, show_command, to_csv
from pages.widgets.job_panel import show_job
from pages.widgets.molecules import show_paged_cards
from pages.widgets.run_picker import Run, finished_runs


def selection_result(run: Run, spec: Select, fit: Spec | None) -> None:
    """Everything a finished selection shows; `fit`: the model whose training set it would extend, where known."""
    selected: Dataset = load_product(run.entry)
    pool = _find_table(spec.pool)
    train = _find_table(fit.train) if fit is not None else None
    if pool is None:
        st.info("The pool is no longer in the library, so only the selected compounds are shown.")
    else:
        rows = find_pool_rows(selected, pool)
        show_numbers(pool, rows, train)
        if train is not None:
            show_map(spec.pool, fit.train, rows)
            show_histograms(selected, pool, train)
        compare_with_others(run, spec, pool, rows)
    st.subheader("Selected compounds", anchor=False)
    cards = pd.DataFrame({"smiles": selected.smiles})
    if selected.tasks:
        cards["label"] = selected.targets[:, 0]
    if "mislabelled" in selected.columns:
        cards["mislabelled"] = selected.columns["mislabelled"]
    show_paged_cards(cards, f"selected-{run.key}", selected.unit[0] if selected.tasks else "")
    export_buttons(f"selection-{run.key}", run.entry.summary, {"selected": lambda: to_csv(to_frame(selected))}, run.key)
    names = "".join(f"{smiles}\n" for smiles in selected.smiles)
    others = {"SMI": (lambda: names.encode(), "text/plain"), "SDF": (lambda: to_sdf(selected), "chemical/x-mdl-sdfile")}
    with st.container(horizontal=True):
        for what, (data, mime) in others.items():
            st.download_button(
                f"Selected ({what})",
                data=data,
                file_name=f"molsway-selection-{run.key}.{what.lower()}",
                mime=mime,
                key=f"{what}-{run.key}",
                on_click="ignore",
                icon=":material/download:",
            )
    show_command(spec)


def _find_table(spec: Spec) -> Dataset | None:
    entry = find_run(spec)
    return load_product(entry) if entry is not None else None


def find_pool_rows(selected: Dataset, pool: Dataset) -> np.ndarray:
    """Rows of the pool in the order of selection; of a molecule that is there twice, one after the other."""
    rows: dict[str, list[int]] = {}
    for row, smiles in enumerate(pool.smiles):
        rows.setdefault(smiles, []).append(row)
    return np.array([rows[smiles].pop(0) for smiles in selected.smiles], int)


def show_numbers(pool: Dataset, rows: np.ndarray, train: Dataset | None) -> None:
    """What the selection covers and adds, in a few numbers."""
    other = train.digest if train is not None else ""
    summary = _summarize(pool.digest, tuple(rows.tolist()), other, _pool=pool, _train=train)
    numbers = [("Selected", f"{summary['kept']:,} of {summary['of']:,}", "Candidates of the pool")]
    if summary["covered"] is not None:
        words = "Share of the other candidates with a selected or training molecule at Tanimoto similarity ≥ 0.5"
        words += (
            f"; with a training molecule alone {format_percent(summary['covered_before'])}" if train is not None else ""
        )
        numbers.append(("Pool covered", format_percent(summary["covered"]), words))
    if summary["novel"] is not None:
        numbers.append(
            (
                "No training neighbour",
                format_percent(summary["novel"]),
                "Share of the selected without a training molecule at Tanimoto similarity ≥ 0.5",
            )
        )
    if summary["likeness"] is not None:
        words = "Mean Tanimoto similarity of a selected molecule to its nearest selected one; lower is more diverse"
        numbers.append(("Mean similarity within", format_number(summary["likeness"]), words))
    scaffolds = f"{summary['new_scaffolds']:,} of {summary['scaffolds']:,}"
    numbers.append(("New scaffolds", scaffolds, "Murcko scaffolds that the training set does not have"))
    for column, (name, value, help_) in zip(st.columns(len(numbers)), numbers, strict=True):
        column.metric(name, value, help=help_)


@st.cache_data(show_spinner="Comparing molecules …", max_entries=64)
def _summarize(digest: str, rows: tuple[int, ...], other: str, _pool: Dataset, _train: Dataset | None) -> dict:
    return summarize_selection(
        list(_pool.smiles), np.array(rows, int), list(_train.smiles) if _train is not None else []
    )


def show_map(pool: Spec, train: Spec, rows: np.ndarray) -> None:
    """The map, computed on request: principal components or t-SNE."""
    method = st.segmented_control("Map", ["pca", "t-sne"], default="pca", key=f"way-{pool.key}",
                               format_func={"pca": "Principal components", "t-sne": "t-SNE"}.get) or "pca"  # fmt: skip
    projection = Projection(pool, train, method)
    entry, job = find_run(projection), find_job(projection)
    if entry is None:
        if job is not None and show_job(job.key) is not None and job.is_active:
            return
        if st.button("Compute the map", key=f"map-{projection.key}", icon=":material/map:"):
            submit(projection)
            st.rerun()
        return
    product = load_product(entry)
    figure = choice_figures.plot_projection(product.table, rows.tolist())
    st.plotly_chart(
        figure, key=f"landscape-{projection.key}", config=figures.CONFIG, alt="Map of the pool and the training set"
    )
    sentence = "Neighbours are similar; distances between clusters have no meaning." if method == "t-sne" else (
        f"The two components explain {format_percent(product.record['explained'])} of the variance of the "
        "fingerprints, so near points may be dissimilar."
    )  # fmt: skip
    counts = ", ".join(
        f"{product.record['drawn'][part]:,} of {count:,} ({part})" for part, count in product.record["rows"].items()
    )
    st.caption(f"{sentence} Drawn: {counts}.")


def show_histograms(selected: Dataset, pool: Dataset, train: Dataset) -> None:
    """Measured values and descriptors of the selection, the pool and the training set."""
    with st.expander("Measured values and descriptors compared with the training set", icon=":material/bar_chart:"):
        parts = {"training set": train, "pool": pool, "selected": selected}
        if selected.tasks and train.tasks == selected.tasks:
            values = {name: table.targets[:, 0] for name, table in parts.items()}
            figure = figures.plot_label_histogram(values, selected.tasks[0], selected.unit[0])
            st.plotly_chart(
                figure,
                key=f"labels-{selected.digest}",
                config=figures.CONFIG,
                alt="Measured values of training set, pool and selection",
            )
        digests = tuple(table.digest for table in parts.values())
        for column, (name, values) in zip(
            st.columns(3), _descriptor_distributions(digests, _parts=parts).items(), strict=True
        ):
            figure = figures.plot_label_histogram(values, name).update_layout(height=260)
            column.plotly_chart(
                figure,
                key=f"{name}-{selected.digest}",
                config=figures.CONFIG,
                alt=f"{name} of training set, pool and selection",
            )


@st.cache_data(show_spinner="Counting descriptors …", max_entries=32)
def _descriptor_distributions(digests: tuple[str, ...], _parts: dict[str, Dataset]) -> dict[str, dict[str, np.ndarray]]:
    return descriptor_distributions({name: list(table.smiles) for name, table in _parts.items()})


def compare_with_others(run: Run, spec: Select, pool: Dataset, rows: np.ndarray) -> None:
    """The overlap with other selections from this pool."""
    overlaps = []
    for other, other_spec in finished_runs(kind=Select.kind):
        if other.key != run.key and other_spec.pool.key == spec.pool.key:
            shared = compare_selections(rows, find_pool_rows(load_product(other.entry), pool))
            overlaps.append(
                {
                    "selection": other_spec.title,
                    "size": other_spec.sampler.count,
                    "shared": shared["both"],
                    "Jaccard": shared["jaccard"],
                    "rank correlation": shared["spearman"],
                }
            )
    if overlaps:
        with st.expander(f"Compare with {len(overlaps)} other selections from this pool", icon=":material/join_inner:"):
            number_format = st.column_config.NumberColumn(format="%.2f")
            st.dataframe(
                pd.DataFrame(overlaps), hide_index=True, alt="Overlap with other selections",
                column_config={"Jaccard": number_format, "rank correlation": number_format},
            )  # fmt: skip
            st.caption(
                "Jaccard: shared molecules over those in either selection. Rank correlation: of the order of the "
                "shared ones."
            )


def to_frame(table: Dataset) -> pd.DataFrame:
    """The selected molecules as a table: SMILES, labels, further columns."""
    labels = {task: table.targets[:, column] for column, task in enumerate(table.tasks)}
    return pd.DataFrame({"smiles": table.smiles, **labels, **table.columns})


def to_sdf(table: Dataset) -> bytes:
    """The selected molecules with their labels, as an SD file."""
    labels = {task: table.targets[:, column] for column, task in enumerate(table.tasks)}
    return as_sdf(list(table.smiles), labels).encode()
