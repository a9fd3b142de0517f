"""The command `app`: the dashboard in a browser, from a checkout or an installation."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from core.cli.command import Argument, Command
from core.engine.spec import BadInput

APP = Path(__file__).parents[2] / "app.py"  # streamlit reads the theme from `.streamlit/config.toml` next to it


def open_dashboard(options: argparse.Namespace) -> Any:
    """Replace this process by `streamlit run app.py`, so that Ctrl-C and signals reach the server."""
    if not APP.is_file():
        raise BadInput(f"there is no {APP}; install Molsway again with `pip install .`")
    print(f"Molsway is at http://127.0.0.1:{options.port} (stop it with Ctrl-C)", file=sys.stderr, flush=True)
    os.environ["MOLSWAY_CACHE"] = str(options.cache.resolve())
    command = [sys.executable, "-m", "streamlit", "run", str(APP), "--server.port", str(options.port)]
    os.execv(command[0], command)


COMMANDS = (
    Command(
        "app",
        open_dashboard,
        "Start the dashboard and print its address",
        (Argument("--port", type=int, default=8501, metavar="PORT", help="port of the page (default: 8501)"),),
    ),
)
