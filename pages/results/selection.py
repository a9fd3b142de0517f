"""A selection on a page: what it covers and adds, how it differs from the training set, and other selections."""

import numpy as np
import pandas as pd
import streamlit as st

from core.chem.molecules import as_sdf
from core.data.dataset import Dataset
from core.engine.spec import Spec
from core.experiments import Landscape, Select
from core.figures import base as figures
from core.figures import selection as choice_figures
from core.selection.summary import overlap, spreads, told
from core.stats.formatting import number
from pages.base.service import entry_of, product, service, submit
from pages.base.text import percent
from pages.widgets.frame import as_csv, command, exports
from pages.widgets.job_panel import job_panel
from pages.widgets.molecules import pages_of_cards
from pages.widgets.run_picker import Run, finished


def choice_result(run: Run, spec: Select, fit: Spec | None) -> None:
    """Everything a finished selection shows; `fit`: the model whose training set it would extend, where known."""
    kept: Dataset = product(run.entry)
    pool = _table(spec.pool)
    train = _table(fit.train) if fit is not None else None
    if pool is None:
        st.info("The pool is no longer in the library, so only the selected compounds are shown.")
    else:
        rows = rows_of(kept, pool)
        numbers(pool, rows, train)
        if train is not None:
            mapped(spec.pool, fit.train, rows)
            histograms(kept, pool, train)
        beside_others(run, spec, pool, rows)
    st.subheader("Selected compounds", anchor=False)
    shown = pd.DataFrame({"smiles": kept.smiles})
    if kept.tasks:
        shown["label"] = kept.targets[:, 0]
    if "planted" in kept.columns:
        shown["planted"] = kept.columns["planted"]
    pages_of_cards(shown, f"selected-{run.key}", kept.unit[0] if kept.tasks else "")
    exports(f"selection-{run.key}", run.entry.summary, {"selected": lambda: as_csv(frame(kept))}, run.key)
    names = "".join(f"{smiles}\n" for smiles in kept.smiles)
    others = {"SMI": (lambda: names.encode(), "text/plain"), "SDF": (lambda: sdf(kept), "chemical/x-mdl-sdfile")}
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
    command(spec)


def _table(spec: Spec) -> Dataset | None:
    entry = entry_of(spec.key)
    return product(entry) if entry is not None else None


def rows_of(kept: Dataset, pool: Dataset) -> np.ndarray:
    """Rows of the pool in the order of selection; of a molecule that is there twice, one after the other."""
    places: dict[str, list[int]] = {}
    for row, smiles in enumerate(pool.smiles):
        places.setdefault(smiles, []).append(row)
    return np.array([places[smiles].pop(0) for smiles in kept.smiles], int)


def numbers(pool: Dataset, rows: np.ndarray, train: Dataset | None) -> None:
    """What the selection covers and adds, in a few numbers."""
    other = train.digest if train is not None else ""
    found = _told(pool.digest, tuple(rows.tolist()), other, _pool=pool, _train=train)
    shown = [("Selected", f"{found['kept']:,} of {found['of']:,}", "Candidates of the pool")]
    if found["covered"] is not None:
        words = "Share of the other candidates with a selected or training molecule at Tanimoto similarity ≥ 0.5"
        words += f"; with a training molecule alone {percent(found['covered_before'])}" if train is not None else ""
        shown.append(("Pool covered", percent(found["covered"]), words))
    if found["novel"] is not None:
        shown.append(
            (
                "No training neighbour",
                percent(found["novel"]),
                "Share of the selected without a training molecule at Tanimoto similarity ≥ 0.5",
            )
        )
    if found["likeness"] is not None:
        words = "Mean Tanimoto similarity of a selected molecule to its nearest selected one; lower is more diverse"
        shown.append(("Mean similarity within", number(found["likeness"]), words))
    scaffolds = f"{found['new_scaffolds']:,} of {found['scaffolds']:,}"
    shown.append(("New scaffolds", scaffolds, "Murcko scaffolds that the training set does not have"))
    for column, (name, value, help_) in zip(st.columns(len(shown)), shown, strict=True):
        column.metric(name, value, help=help_)


@st.cache_data(show_spinner="Comparing molecules …", max_entries=64)
def _told(digest: str, rows: tuple[int, ...], other: str, _pool: Dataset, _train: Dataset | None) -> dict:
    return told(list(_pool.smiles), np.array(rows, int), list(_train.smiles) if _train is not None else [])


def mapped(pool: Spec, train: Spec, rows: np.ndarray) -> None:
    """The map, computed on request: principal components or t-SNE."""
    way = st.segmented_control("Map", ["pca", "t-sne"], default="pca", key=f"way-{pool.key}",
                               format_func={"pca": "Principal components", "t-sne": "t-SNE"}.get) or "pca"  # fmt: skip
    projection = Landscape(pool, train, way)
    entry, job = entry_of(projection.key), service().line.job(projection.key)
    if entry is None:
        if job is not None and job_panel(projection.key) is not None and job.live:
            return
        if st.button("Compute the map", key=f"map-{projection.key}", icon=":material/map:"):
            submit(projection)
            st.rerun()
        return
    found = product(entry)
    figure = choice_figures.landscape(found.table, rows.tolist())
    st.plotly_chart(
        figure, key=f"landscape-{projection.key}", config=figures.CONFIG, alt="Map of the pool and the training set"
    )
    said = "Neighbours are similar; distances between clusters have no meaning." if way == "t-sne" else (
        f"The two components explain {percent(found.record['explained'])} of the variance of the fingerprints, so "
        "near points may "
        "be dissimilar."
    )  # fmt: skip
    drawn = ", ".join(
        f"{found.record['drawn'][part]:,} of {count:,} ({part})" for part, count in found.record["rows"].items()
    )
    st.caption(f"{said} Drawn: {drawn}.")


def histograms(kept: Dataset, pool: Dataset, train: Dataset) -> None:
    """Measured values and descriptors of the selection, the pool and the training set."""
    with st.expander("Measured values and descriptors compared with the training set", icon=":material/bar_chart:"):
        parts = {"training set": train, "pool": pool, "selected": kept}
        if kept.tasks and train.tasks == kept.tasks:
            values = {name: table.targets[:, 0] for name, table in parts.items()}
            figure = figures.labels(values, kept.tasks[0], kept.unit[0])
            st.plotly_chart(
                figure,
                key=f"labels-{kept.digest}",
                config=figures.CONFIG,
                alt="Measured values of training set, pool and selection",
            )
        digests = tuple(table.digest for table in parts.values())
        for column, (name, values) in zip(st.columns(3), _spreads(digests, _parts=parts).items(), strict=True):
            figure = figures.labels(values, name).update_layout(height=260)
            column.plotly_chart(
                figure,
                key=f"{name}-{kept.digest}",
                config=figures.CONFIG,
                alt=f"{name} of training set, pool and selection",
            )


@st.cache_data(show_spinner="Counting descriptors …", max_entries=32)
def _spreads(digests: tuple[str, ...], _parts: dict[str, Dataset]) -> dict[str, dict[str, np.ndarray]]:
    return spreads({name: list(table.smiles) for name, table in _parts.items()})


def beside_others(run: Run, spec: Select, pool: Dataset, rows: np.ndarray) -> None:
    """The overlap with other selections from this pool."""
    found = []
    for other, other_spec in finished(kind=Select.kind):
        if other.key != run.key and other_spec.pool.key == spec.pool.key:
            shared = overlap(rows, rows_of(product(other.entry), pool))
            found.append({"selection": other_spec.title, "size": other_spec.sampler.count, "shared": shared["both"],
                          "Jaccard": shared["jaccard"], "rank correlation": shared["spearman"]})  # fmt: skip
    if found:
        with st.expander(f"Compare with {len(found)} other selections from this pool", icon=":material/join_inner:"):
            number_format = st.column_config.NumberColumn(format="%.2f")
            st.dataframe(
                pd.DataFrame(found), hide_index=True, alt="Overlap with other selections",
                column_config={"Jaccard": number_format, "rank correlation": number_format},
            )  # fmt: skip
            st.caption(
                "Jaccard: shared molecules over those in either selection. Rank correlation: of the order of the "
                "shared ones."
            )


def frame(table: Dataset) -> pd.DataFrame:
    """The selected molecules as a table: SMILES, labels, further columns."""
    labels = {task: table.targets[:, place] for place, task in enumerate(table.tasks)}
    return pd.DataFrame({"smiles": table.smiles, **labels, **table.columns})


def sdf(table: Dataset) -> bytes:
    """The selected molecules with their labels, as an SD file."""
    labels = {task: table.targets[:, place] for place, task in enumerate(table.tasks)}
    return as_sdf(list(table.smiles), labels).encode()
