"""Molecules on a page: cards, pictures in a table, and one molecule in detail with its training neighbours."""

import html
import math
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.chem import depict
from core.chem.count_similarity import CountIndex
from core.stats.formatting import format_number
from pages.base.text import capitalise, escape_markdown, format_signed


def is_dark() -> bool:
    return st.context.theme.type == "dark"


def draw_images(smiles: list[str], width: int = 180, height: int = 110) -> list[str]:
    """Drawings as addresses of images, for an ImageColumn."""
    return [depict.data_uri(depict.draw_svg(str(one), width, height, is_dark())) for one in smiles]


def effect_label(delta_loss: float) -> tuple[str, str]:
    """The sign of a score in words, and its style."""
    return ("helps", "ms-helps") if delta_loss < 0 else ("harms", "ms-harms")


def show_cards(table: pd.DataFrame, unit: str = "", loss_unit: str = "", style: str = "") -> None:
    """Molecules as cards. Columns: `smiles`; optional title, rank, label, prediction, delta_loss, mislabelled.

    A caption below gives the units.
    """
    pieces, size = [], (132, 88) if style else (200, 122)
    for row in table.to_dict("records"):
        smiles = html.escape(str(row["smiles"]), quote=True)
        marked = row.get("highlight") or ()
        picture = depict.data_uri(depict.draw_svg(str(row["smiles"]), *size, is_dark(), marked))
        lines = [f'<img src="{picture}" alt="Structure of {smiles}" title="{smiles}">']
        if row.get("title"):
            lines.append(f'<div class="ms-cut"><b>{html.escape(str(row["title"]))}</b></div>')
        if _is_number(row.get("delta_loss")):
            word, tag = effect_label(row["delta_loss"])
            rank = f"#{row['rank']}" if "rank" in row else ""
            lines.append(
                f'<div class="ms-row"><span class="ms-tag {tag}">{word}</span><span class="ms-mute">{rank}</span></div>'
            )
        for name, word, form, in_unit in (
            ("delta_loss", "ΔL", format_signed, loss_unit),
            ("label", "label" if row.get("mislabelled") else "measured", lambda value: format_label(value, unit), unit),
            ("prediction", "prediction", format_number, unit),
        ):
            if _is_number(row.get(name)):
                hint = html.escape(f"{word} in {in_unit}" if in_unit else word, quote=True)
                value = f'<span class="ms-mute">{word}</span><b>{form(row[name])}</b>'
                lines.append(f'<div class="ms-row" title="{hint}">{value}</div>')
        if row.get("mislabelled"):
            lines.append('<div class="ms-mute">swapped label</div>')
        if row.get("note"):
            lines.append(f'<div class="ms-mute ms-cut">{html.escape(str(row["note"]))}</div>')
        pieces.append(f'<div class="ms-card">{"".join(lines)}</div>')
    st.html(f'<div class="ms-grid {style}">{"".join(pieces)}</div>')
    if sentence := describe_units(table, unit, loss_unit):
        st.caption(escape_markdown(capitalise(sentence)))


def format_label(value: float, unit: str) -> str:
    """A label; of a class, which has no unit, 0 or 1."""
    return str(int(value)) if not unit and value in (0, 1) else format_number(value)


def describe_units(table: pd.DataFrame, unit: str, loss_unit: str) -> str:
    """What the numbers on the cards are in, as `ΔL in nat; measured value and prediction in mg/L`."""
    names = {"label": "measured value", "prediction": "prediction"}
    values = " and ".join(word for name, word in names.items() if name in table)
    score = "ΔL" if "delta_loss" in table else ""
    return "; ".join(f"{words} in {of}" for words, of in ((score, loss_unit), (values, unit)) if words and of)


def show_paged_cards(table: pd.DataFrame, key: str, unit: str = "", each: int = 12) -> None:
    """Cards, `each` at a time."""
    count = max(1, math.ceil(len(table) / each))
    page = st.pagination(count, key=key) if count > 1 else 1
    show_cards(table.iloc[(page - 1) * each : page * each], unit)
    if count > 1:
        st.caption(f"{(page - 1) * each + 1}–{min(page * each, len(table))} of {len(table):,}")


@st.cache_resource(show_spinner=False, max_entries=4)
def _index_molecules(digest: str, _molecules: np.ndarray) -> CountIndex:
    return CountIndex.of(list(_molecules))


@st.cache_data(show_spinner=False, max_entries=512)
def _find_neighbours(digest: str, smiles: str, count: int, _others: np.ndarray) -> tuple[list[int], list[float]]:
    rows, similarity = _index_molecules(digest, _others).nearest([smiles], count)
    return rows[0].tolist(), similarity[0].tolist()


def show_molecule(row: dict[str, Any], train: Any = None, unit: str = "", loss_unit: str = "", count: int = 3) -> None:
    """One molecule in detail: structure, measured value, prediction, ΔL in words; its nearest training molecules.

    `row["said"]`: markdown below the numbers; `row["change"]`: what ΔL comes to, in words.
    """
    smiles = str(row["smiles"])
    st.image(depict.draw_svg(smiles, 380, 190, is_dark()), width="stretch", alt=f"Structure of {smiles}")
    st.code(smiles, language=None, wrap_lines=True)
    if _is_number(row.get("delta_loss")):
        word, colour = ("lower", "blue") if row["delta_loss"] < 0 else ("raise", "orange")
        change = f" ({row['change']})" if row.get("change") else ""
        st.markdown(
            f":{colour}[**ΔL = {format_signed(row['delta_loss'])} {escape_markdown(loss_unit)}**]{change}: adding it "
            f"to the training set is predicted to **{word}** the validation error."
            + (f" Rank {row['rank']:,} of {row['of']:,}." if "rank" in row else "")
        )
    names = {
        "label": "Swapped label" if row.get("mislabelled") else "Measured value",
        "prediction": "Prediction",
        "residual": "Prediction error",
    }
    names_shown = [name for name in names if _is_number(row.get(name))]
    for column, name in zip(st.columns(3), names_shown, strict=False):
        column.metric(names[name], format_label(row[name], unit) if name == "label" else format_number(row[name]))
    if row.get("said"):
        st.markdown(row["said"])
    if unit and names_shown:
        residual = "; the prediction error is prediction − label" if "residual" in names_shown else ""
        st.caption(escape_markdown(f"In {unit}{residual}."))
    if row.get("mislabelled"):
        measured = row.get("measured")
        truth = f" The measured value is {format_number(measured)}." if _is_number(measured) else ""
        st.warning(
            f"This label was swapped with that of another molecule on purpose, as a check.{truth}",
            icon=":material/flag:",
        )
    if train is not None and len(train):
        st.caption(
            "Nearest training molecules (Tanimoto similarity of Morgan pattern counts); the shared substructure is in "
            "blue"
        )
        rows, similarity = _find_neighbours(train.digest, smiles, min(count, len(train)), train.smiles)
        near = pd.DataFrame(
            {
                "smiles": train.smiles[rows],
                "label": train.targets[rows, 0],
                "note": [f"similarity {value:.2f}" for value in similarity],
                "highlight": [
                    depict.match_atoms(one, depict.find_shared_core(smiles, one, 1)) for one in train.smiles[rows]
                ],
            }
        )
        show_cards(near, unit, style="ms-three")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and math.isfinite(value)
