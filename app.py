"""The list of rooms. Start it with: streamlit run app.py"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st
from PIL import Image, ImageDraw, ImageFont

from pages.base.service import service
from pages.widgets.job_panel import line_chip

ROOMS = {
    "": [
        ("start", "Start", ":material/home:", ""),
    ],
    "Work": [
        ("data", "Data", ":material/table:", "Choose a table, see what was dropped and why"),
        ("train", "Train", ":material/model_training:", "Fine-tune a chemical language model"),
        ("influence", "Influence", ":material/balance:", "Which molecules of a pool would help or harm"),
        ("sample", "Sample", ":material/filter_alt:", "Keep some molecules of a pool, and see which, before training"),
        ("methods", "Methods", ":material/tune:", "What each way of fine-tuning costs and buys"),
        ("multitask", "Multitask", ":material/hub:", "Many tables, one network, and what that buys a small one"),
        ("compare", "Compare", ":material/compare_arrows:", "Prove it: arms and runs side by side"),
        ("predict", "Predict", ":material/query_stats:", "What a finished model says of other molecules"),
    ],
    "Kept": [
        ("runs", "Runs", ":material/inventory_2:", "The line and the store"),
    ],
}


@st.cache_resource(show_spinner=False)
def drawn() -> tuple[Image.Image, Image.Image]:
    """The icon, a ring that leans out of the plumb: a molecule, swayed; and the same beside the name."""
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
    """The worker takes up the line as the server starts, and leaves what runs with a checkpoint as it stops."""
    service()
    yield
    service().worker.stop()


def show() -> None:
    """What a visitor sees."""
    icon, name = drawn()
    st.set_page_config(page_title="Molsway", page_icon=icon, layout="wide", menu_items={"About": "Molsway"})
    st.logo(name, size="large", icon_image=icon)
    room = st.navigation(
        {
            section: [
                st.Page(
                    f"pages/views/{name}.py",
                    title=title,
                    icon=symbol,
                    url_path=name,
                    help=help_ or None,
                    default=name == "start",
                )
                for name, title, symbol, help_ in rooms
            ]
            for section, rooms in ROOMS.items()
        }
    )
    with st.sidebar:
        line_chip()
    room.run()


if __name__ == "__main__":  # a visit
    show()
else:  # the server, once, as it starts: from now on the folder `pages` is not taken for Streamlit's old kind of rooms
    logging.disable(logging.WARNING)  # that there is no visitor yet
    st.navigation([st.Page(show, title="Molsway")])
    logging.disable(logging.NOTSET)
    app = st.App(__file__, lifespan=lifespan)
