"""The frame of every page: head, empty state, warnings, the command, exports."""

import csv
import html
import io
import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from core.engine.spec import BadInput, Spec, map_specs, to_json
from core.experiments import Load
from pages.base.service import settle
from pages.base.shell import write_command
from pages.base.text import as_sentence, escape_markdown

MAX_OPEN_WARNINGS = 6  # that are expanded at first; more would push the results off the page
STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding-top: 2.6rem; max-width: 1280px; }
[data-testid="stStatusWidget"] button { display: none; }
[data-testid="stMetric"] { padding: .1rem 0; }
.ms-grid { display: grid; gap: .7rem; grid-template-columns: repeat(6, minmax(0, 1fr)); }
@media (max-width: 1100px) { .ms-grid { grid-template-columns: repeat(3, minmax(0, 1fr)); } }
@media (max-width: 560px) { .ms-grid { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
.ms-grid.ms-three { grid-template-columns: repeat(3, 1fr); gap: .5rem; }
.ms-three img { height: 88px; }
.ms-card { border: 1px solid rgba(128,138,155,.28); border-radius: .7rem; padding: .5rem .6rem .55rem; min-width: 0; }
.ms-card img { width: 100%; height: 122px; object-fit: contain; display: block; }
.ms-card b { font-weight: 620; font-variant-numeric: tabular-nums; }
.ms-card .ms-row { display: flex; justify-content: space-between; gap: .4rem; font-size: .8rem; }
.ms-three .ms-row, .ms-three .ms-mute { font-size: .72rem; }
.ms-three .ms-card { padding: .4rem; }
.ms-tag { border-radius: 99px; padding: .05rem .45rem; font-size: .7rem; white-space: nowrap; font-weight: 600; }
.ms-helps { background: rgba(46,134,222,.16); color: color-mix(in srgb, #2E86DE 68%, currentColor); }
.ms-harms { background: rgba(230,126,34,.18); color: color-mix(in srgb, #E67E22 68%, currentColor); }
.ms-mute { opacity: .66; font-size: .78rem; }
.ms-cut { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.ms-empty { border: 1px dashed rgba(128,138,155,.45); border-radius: .9rem; text-align: center;
  padding: 2.2rem 1.4rem; }
.ms-empty h4 { margin: 0 0 .35rem; padding: 0; font-size: 1.05rem; }
.ms-empty p { margin: 0 auto; max-width: 46ch; opacity: .75; }
[data-testid="stMain"] [class*="door-"] a {
  border: 1px solid rgba(128,138,155,.36);
  border-radius: .6rem; padding: .36rem .8rem; min-height: 2.5rem; justify-content: center; background: none; }
[data-testid="stMain"] [class*="door-"] a:hover { border-color: #12A594; }
[data-testid="stMain"] [class*="door-"] a > * { white-space: nowrap; flex: 0 1 auto; }
[data-testid="stMain"] [class*="st-key-primary-door-"] a { background: #0B7A75; border-color: #0B7A75; }
[data-testid="stMain"] [class*="st-key-primary-door-"] a * { color: #FFFFFF !important; }
[data-testid="stMain"] [class*="door-recent-"] a { border-color: transparent; padding: .36rem 0; gap: .25rem; }
@media (max-width: 1100px) {
  [class*="st-key-stacked-"] > [data-testid="stLayoutWrapper"] > [data-testid="stHorizontalBlock"]
    > [data-testid="stColumn"] { flex: 1 1 100%; min-width: 100%; }
  [data-testid="stMetricLabel"] [data-testid="stMarkdownContainer"], [data-testid="stMetricLabel"] p {
    white-space: normal; overflow: visible; }
  [data-testid="stMetricValue"] { font-size: 1.25rem; }
  [data-testid="stMetricValue"] * { white-space: normal !important; overflow-wrap: anywhere; }
  [data-testid="stMainBlockContainer"] { padding-left: 2rem; padding-right: 2rem; }
}
.ms-verdict { border-left: 4px solid #12A594; background: rgba(18,165,148,.10); border-radius: .5rem;
  padding: .8rem 1rem; font-size: 1.08rem; line-height: 1.5; }
</style>"""
SCROLL = """<script>document.querySelector('[data-testid="stMain"]').scrollTo({top: 0})</script>"""


def show_head(title: str, about: str) -> None:
    """The head of a page: its title, and one or two sentences on what it is for."""
    st.html(STYLE)
    st.title(title, anchor=False)
    st.caption(about)


def scroll_to_top() -> None:
    """Show the head of the page, once: the browser keeps the place of a page that becomes shorter."""
    st.html(SCROLL, unsafe_allow_javascript=True)


def split_page(key: str) -> tuple[Any, Any]:
    """Room for a chart and for what is chosen in it: side by side, one above the other where the window is narrow."""
    with st.container(key=f"stacked-{key}"):
        left, right = st.columns([3, 2], gap="medium")
    return left, right


def show_empty(title: str, about: str) -> None:
    """The empty state: what will be shown here, and how to get it."""
    st.html(f'<div class="ms-empty"><h4>{html.escape(title)}</h4><p>{html.escape(about)}</p></div>')


def show_verdict(sentence: str) -> None:
    st.html(f'<div class="ms-verdict">{html.escape(sentence)}</div>')


def show_error(error: Any) -> None:
    """What is wrong, as a sentence."""
    st.error(escape_markdown(as_sentence(error)), icon=":material/error:")


def show_warnings(sentences: list[str]) -> None:
    """Warnings that concern the numbers below."""
    if len(sentences) == 1:
        st.warning(escape_markdown(as_sentence(sentences[0])), icon=":material/info:")
    elif sentences:
        with st.expander(
            f"{len(sentences)} warnings about these results",
            icon=":material/info:",
            expanded=len(sentences) <= MAX_OPEN_WARNINGS,
        ):
            for sentence in sentences:
                st.markdown(f"- {escape_markdown(as_sentence(sentence))}")


def show_command(spec: Spec, words: str = "Copy the command") -> None:
    """The shell command of the same run."""
    with st.expander(words, icon=":material/terminal:"):
        try:
            spec = settle(spec)
        except BadInput as error:
            show_error(error)
            return
        text = json.dumps(to_json(spec), ensure_ascii=False)
        st.caption(
            "Runs the same settings from a shell. The result has the same key and is saved in the same library, so "
            "nothing is computed twice."
        )
        st.code(write_command("run -", text), language="bash", wrap_lines=True)
        files = list_files(spec)
        if files:
            st.caption(
                escape_markdown(
                    f"Needs {' and '.join(files)}, of which this library has a copy. In another library, give the path "
                    "of the file as `source` (file:PATH) and an empty `digest`: the file is then imported."
                )
            )


def list_files(spec: Spec) -> list[str]:
    """The files that a spec reads, each with the beginning of its digest."""
    files: dict[str, str] = {}

    def note(part: Spec) -> Spec:
        if isinstance(part, Load) and part.source.startswith("file:"):
            files[part.digest] = f"{part.source.removeprefix('file:')} (SHA-256 {part.digest[:12]}…)"
        return part

    map_specs(spec, note)
    return list(files.values())


def neutralise_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """The same table, in which no text can start a formula in a spreadsheet; numbers stay numbers."""

    def tame(value: Any) -> Any:
        risky = isinstance(value, str) and len(value) > 1 and value[0] in "=+-@\t\r"
        return f"'{value}" if risky else value

    out = table.copy()
    for column in out.columns:
        if out[column].dtype == object or pd.api.types.is_string_dtype(out[column].dtype):
            out[column] = [tame(value) for value in out[column]]
    return out.rename(columns=tame)


def to_csv(table: pd.DataFrame, heading: str = "") -> bytes:
    """CSV (UTF-8) with formulas tamed; `heading` becomes comment lines in front."""
    text = io.StringIO()
    text.writelines(f"# {line}\n" for line in heading.splitlines())
    neutralise_formulas(table).to_csv(text, index=False, quoting=csv.QUOTE_MINIMAL)
    return text.getvalue().encode()


def export_buttons(name: str, summary: dict[str, Any], tables: dict[str, Callable[[], bytes]], key: str) -> None:
    """Buttons that download tables (CSV, made when clicked) and the summary (JSON)."""
    with st.container(horizontal=True):
        for label, data in tables.items():
            st.download_button(
                f"{label.capitalize()} (CSV)",
                data=data,
                file_name=f"molsway-{name}-{label}.csv".replace(" ", "-"),
                mime="text/csv",
                key=f"export-{key}-{label}",
                on_click="ignore",
                icon=":material/download:",
            )
        st.download_button(
            "Summary (JSON)",
            data=lambda: json.dumps(summary, indent=1, ensure_ascii=False).encode(),
            file_name=f"molsway-{name}.json",
            mime="application/json",
            key=f"export-{key}-json",
            on_click="ignore",
            icon=":material/data_object:",
        )
