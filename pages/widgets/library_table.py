"""The library on a page: a table of saved runs, their files to download, deletion that asks first."""

import contextlib
import io
import json
import tempfile
import zipfile
from datetime import datetime
from pathlib import Path

import pandas as pd
import streamlit as st

from core.engine.job_queue import Job
from core.engine.spec import BadInput, Spec, map_specs, read_spec_json
from core.engine.store import Entry
from pages.base.service import get_service, load_product
from pages.base.shell import write_command
from pages.base.text import escape_markdown, format_bytes
from pages.widgets.run_picker import Run

MAX_ZIP_BYTES = 300_000_000  # of a bundle: it is made in memory


def choose_from_table(runs: list[Run]) -> int | None:
    """A table of runs; the number of the chosen one."""
    table = pd.DataFrame(
        {
            "title": [run.name for run in runs],
            "key figure": [run.entry.headline for run in runs],
            "made": [datetime.fromtimestamp(run.moment) for run in runs],
            "took": pd.to_timedelta([round(run.entry.seconds, int(run.entry.seconds < 10)) for run in runs], unit="s"),
        }
    )
    chosen = st.dataframe(
        table,
        key=f"store-{hash(tuple(run.key for run in runs))}",  # after a deletion, no other row inherits the selection
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        lazy=False,
        height=min(38 + 35 * len(table), 472),
        alt="Saved runs",
        column_config={
            "title": st.column_config.TextColumn(width=470),
            "key figure": st.column_config.TextColumn(width=220),
            "made": st.column_config.DatetimeColumn(format="DD MMM HH:mm", width=105),
            "took": st.column_config.NumberColumn(format="compact", width=85),  # hours, minutes, seconds
        },
    )
    rows = [row for row in chosen.selection.rows if row < len(runs)]
    return rows[0] if rows else None


def download_buttons(entry: Entry) -> None:
    """Buttons that download all files of a run as a zip, and its summary as JSON."""
    st.download_button(
        "Files (zip)",
        data=lambda: zip_files(entry),
        file_name=f"molsway-{entry.kind}-{entry.key}.zip",
        mime="application/zip",
        on_click="ignore",
        icon=":material/folder_zip:",
        disabled=entry.bytes > MAX_ZIP_BYTES,
        help=escape_markdown(
            f"{format_bytes(entry.bytes)}; for larger ones use: {write_command(f'export {entry.key} DIR')}"
        ),
    )
    st.download_button(
        "Summary (JSON)",
        data=lambda: json.dumps(entry.summary, indent=1, ensure_ascii=False).encode(),
        file_name=f"molsway-{entry.kind}-{entry.key}.json",
        mime="application/json",
        on_click="ignore",
        icon=":material/data_object:",
    )


def zip_files(entry: Entry) -> bytes:
    """The files of a product in one archive, below a folder named by its key. Raises `DamagedRun`."""
    get_service().store.check(entry.folder)
    return _zip_folder(entry.folder, entry.key)


def zip_export(entry: Entry, form: str) -> bytes:
    """A fit's network in a form that other programs read, as one archive."""
    from core.models import export as portable  # reads weights: only when someone asks for them

    get_service().store.check(entry.folder)
    with tempfile.TemporaryDirectory(prefix="molsway-") as folder:
        portable.export(load_product(entry), form, Path(folder), entry.title)
        return _zip_folder(Path(folder), entry.key)


def _zip_folder(folder: Path, name: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                archive.write(path, f"{name}/{path.relative_to(folder).as_posix()}")
    return data.getvalue()


@st.dialog("Delete this run?")
def confirm_delete(entry: Entry) -> None:
    """Ask, then delete. Names the saved runs that used it; they stay."""
    st.markdown(
        f"**{escape_markdown(entry.title)}** ({format_bytes(entry.bytes)}) will be deleted from the library. Running "
        "the same settings again restores it."
    )
    jobs = list_waiting_jobs(entry.key)
    if jobs:
        st.warning(
            escape_markdown(
                f"{jobs[0].title} {'is running' if jobs[0].state == 'running' else 'waits in the queue'} and uses it"
                + (f", and {len(jobs) - 1} more" if len(jobs) > 1 else "")
                + ". Without it the job computes it again, or fails where it cannot."
            ),
            icon=":material/warning:",
        )
    users = list_dependents(entry.key)
    if users:
        st.caption(f"Saved runs that used it stay ({len(users)}, for example {escape_markdown(users[0])}).")
    if st.button("Delete permanently", type="primary", icon=":material/delete:", on_click=_delete, args=(entry.key,)):
        st.rerun()


def _delete(key: str) -> None:
    with contextlib.suppress(BadInput):  # someone else deleted it first
        get_service().store.delete(key)


def list_waiting_jobs(key: str) -> list[Job]:
    """Jobs that run or wait and have this run as a part, at any depth; the running one first."""
    users = []
    for job in get_service().queue.jobs():
        if job.is_active and job.key != key:
            with contextlib.suppress(BadInput):
                if key in list_part_keys(read_spec_json(job.spec)):
                    users.append(job)
    return sorted(users, key=lambda job: job.state != "running")


def list_part_keys(spec: Spec) -> set[str]:
    """Keys of all specs in a tree."""
    keys: set[str] = set()

    def note(part: Spec) -> Spec:
        keys.add(part.key)
        return part

    map_specs(spec, note)
    return keys


def list_dependents(key: str) -> list[str]:
    """Titles of saved runs that have this one as a part."""
    titles = []
    for entry in get_service().store.entries():
        try:
            if entry.key != key and key in {spec.key for spec in entry.spec.iterate_parts()}:
                titles.append(entry.title)
        except BadInput:
            continue
    return titles
