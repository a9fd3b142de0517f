"""The list of rooms. Start it with: streamlit run app.py"""

import streamlit as st
from PIL import Image, ImageDraw

from pages.parts.job_panel import line_chip

ROOMS = {
    "": [
        ("start", "Start", ":material/home:", ""),
    ],
    "Work": [
        ("data", "Data", ":material/table:", "Choose a table, see what was dropped and why"),
        ("train", "Train", ":material/model_training:", "Fine-tune a chemical language model"),
        ("influence", "Influence", ":material/balance:", "Which molecules of a pool would help or harm"),
        ("compare", "Compare", ":material/compare_arrows:", "Prove it: arms and runs side by side"),
    ],
    "Kept": [
        ("runs", "Runs", ":material/inventory_2:", "The line and the store"),
    ],
}


@st.cache_resource(show_spinner=False)
def icon() -> Image.Image:
    """A ring that leans out of the plumb: a molecule, swayed."""
    picture = Image.new("RGBA", (256, 256), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    draw.regular_polygon((112, 150, 84), 6, rotation=14, outline="#12A594", width=22)
    draw.line((172, 92, 214, 46), fill="#2E86DE", width=20)
    draw.ellipse((188, 20, 240, 72), fill="#2E86DE")
    draw.ellipse((92, 130, 132, 170), fill="#E67E22")
    return picture


st.set_page_config(page_title="Molsway", page_icon=icon(), layout="wide", menu_items={"About": "Molsway"})
st.logo(icon(), size="large")
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
