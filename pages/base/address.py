"""The address of a page, and the doors to other pages.

No other file touches the address. Streamlit makes a step of the browser's history of every change, so a page writes
its address only when someone chooses something.
"""

from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

SHOWN = "page-shown"  # slot of the page that was drawn last


def read_address(name: str) -> str:
    """What the address names, such as the key of a run; "" for nothing."""
    return str(st.query_params.get(name, ""))


def write_address(**values: str) -> None:
    """Make the address name these values and nothing else.

    Does nothing where the values are there already, and for a widget of a page that is no longer shown.
    """
    wanted = {name: value for name, value in values.items() if value}
    context = get_script_run_ctx()
    left = context is not None and st.session_state.get(SHOWN) not in (None, context.page_script_hash)
    if not left and st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def enter_page() -> None:
    """Note which page is drawn now; late requests of live parts of the page before are refused."""
    context = get_script_run_ctx()
    if context is not None and st.session_state.get(SHOWN) != context.page_script_hash:
        st.session_state[SHOWN] = context.page_script_hash
        context.fragment_storage.clear()


def open_page(page: str, **address: str) -> None:
    """Switch to a page (its file) after something was done here. A mere link is a `door`.

    A live part asks to be drawn again every second or two. If such a request of this page were answered after the
    switch, the browser would take the answer for this page and clear the new one: nothing is live from here on.
    """
    context = get_script_run_ctx()
    if context is not None:
        context.fragment_storage.clear()
    st.switch_page(page, query_params=address)


def door(
    label: str,
    page: str,
    key: str,
    icon: str | None = None,
    primary: bool = False,
    disabled: bool = False,
    width: Any = "content",
    **address: str,
) -> None:
    """A link to a page (its file), drawn as a button. The browser itself follows it."""
    with st.container(key=f"{'primary-' if primary else ''}door-{key}", width=width):
        st.page_link(page, label=label, icon=icon, disabled=disabled, width=width, query_params=address)


def live(draw: Callable[..., None], seconds: float | None, name: str = "") -> Callable[..., None]:
    """A part of the page that draws itself again every few seconds; `name` tells apart parts of one function.

    Streamlit identifies such a part by its name and place. That of another page gets another name, so that a late
    request of the page before never draws a part of this one.
    """
    context = get_script_run_ctx()

    def part(*arguments: Any) -> None:
        draw(*arguments)

    part.__qualname__ = f"{draw.__qualname__}-{name}-{context.page_script_hash if context is not None else ''}"
    return st.fragment(part, run_every=seconds)
