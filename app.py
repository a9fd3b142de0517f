"""The list of pages. Start it with: streamlit run app.py"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import streamlit as st
from PIL import Image, ImageDraw, ImageFont

from pages.base.address import enter_page
from pages.base.service import get_service
from pages.widgets.job_panel import show_queue_status


class Page(NamedTuple):
    """A page: its file in `pages/views/`, which is its address too (the first one is at `/`); title, icon, help."""

    name: str
    title: str
    icon: str
    help: str = ""


PAGES = {  # by their heading in the sidebar
    "": [
        Page("start", "Start", ":material/home:"),
    ],
    "Work": [
        Page("data", "Data", ":material/table:", "Choose a table; see what was left out and why"),
        Page("train", "Train", ":material/model_training:", "Fine-tune a chemical language model, or fit a baseline"),
        Page("influence", "Influence", ":material/balance:", "Which candidate compounds help or harm a model"),
        Page("sample", "Sample", ":material/filter_alt:", "Select compounds and inspect them before training"),
        Page("methods", "Methods", ":material/tune:", "Accuracy and cost of fine-tuning methods"),
        Page("multitask", "Multitask", ":material/hub:", "Learn several tables with one shared backbone"),
        Page("compare", "Compare", ":material/compare_arrows:", "Test a selection; set models side by side"),
        Page("predict", "Predict", ":material/query_stats:", "Predict other molecules with a trained model"),
    ],
    "Library": [
        Page("runs", "Runs", ":material/inventory_2:", "The queue and all saved results"),
        Page("glossary", "Glossary", ":material/menu_book:", "The terms used on these pages"),
    ],
}


@st.cache_resource(show_spinner=False)
def draw_logo() -> tuple[Image.Image, Image.Image]:
    """The icon, a ring with a substituent, and the icon with the name."""
    icon = Image.new("RGBA", (256, 256), (0, 0, 0, 0))
    pen = ImageDraw.Draw(icon)
    pen.regular_polygon((112, 150, 84), 6, rotation=14, outline="#12A594", width=22)
    pen.line((172, 92, 214, 46), fill="#2E86DE", width=20)
    pen.ellipse((188, 20, 240, 72), fill="#2E86DE")
    pen.ellipse((92, 130, 132, 170), fill="#E67E22")
    name = Image.new("RGBA", (940, 256), (0, 0, 0, 0))
    name.paste(icon, (0, 0))
    pen = ImageDraw.Draw(name)
    pen.text((286, 146), "Molsway", fill="#12A594", font=ImageFont.load_default(148), anchor="lm", stroke_width=3)
    return icon, name


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[None]:
    """Start the worker with the server; when the server stops, the running job keeps its checkpoint."""
    get_service()
    yield
    get_service().worker.stop()


def show_app() -> None:
    """What a visitor sees."""
    icon, name = draw_logo()
    st.set_page_config(page_title="Molsway", page_icon=icon, layout="wide", menu_items={"About": "Molsway"})
    st.logo(name, size="large", icon_image=icon)
    current = st.navigation(
        {
            heading: [
                st.Page(
                    f"pages/views/{page.name}.py",
                    title=page.title,
                    icon=page.icon,
                    url_path=page.name,
                    help=page.help or None,
                    default=page.name == "start",
                )
                for page in pages
            ]
            for heading, pages in PAGES.items()
        }
    )
    enter_page()
    with st.sidebar:
        show_queue_status()
    current.run()


if __name__ == "__main__":  # a visit
    show_app()
else:  # the server, once at its start: with a navigation, Streamlit does not list the folder `pages` by itself
    logging.disable(logging.WARNING)  # Streamlit warns that there is no session yet
    st.navigation([st.Page(show_app, title="Molsway")])
    logging.disable(logging.NOTSET)
    app = st.App(__file__, lifespan=lifespan)
