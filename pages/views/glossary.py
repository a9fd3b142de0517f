"""Glossary: the terms used on these pages, from docs/glossary.md."""

from pathlib import Path

import streamlit as st

from pages.widgets.frame import show_empty, show_head

TEXT = Path(__file__).parents[2] / "docs" / "glossary.md"

show_head("Glossary", "The terms used on these pages, in the command line and in the documentation.")
if TEXT.is_file():
    st.markdown(TEXT.read_text(encoding="utf-8").removeprefix("# Glossary\n"))
else:
    show_empty("The glossary is not part of this installation", "It is docs/glossary.md in the repository.")
