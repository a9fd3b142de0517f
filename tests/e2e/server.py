"""The dashboard in its own process, for tests."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.waiting import until

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class Server:
    """The dashboard as `make run` starts it, with its own cache; can be killed and started again.

    Its demo is that of `short_demo.py`; `settings` are further environment variables.
    """

    def __init__(self, cache: Path, **settings: str) -> None:
        self.cache, self.settings = cache, settings
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = cache.parent / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Server":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "short_demo.py"), "run", "app.py", "--server.port", str(self.port)],
                cwd=ROOT,
                env=os.environ | {"MOLSWAY_CACHE": str(self.cache)} | self.settings,
                stdout=log,
                stderr=log,
            )
        until(self.answers, "an answer of the server")
        return self

    def answers(self) -> bool:
        assert self.process and self.process.poll() is None, self.log.read_text()[-2000:]
        try:
            return bool(urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=60).read())
        except OSError:
            return False

    def kill(self) -> None:
        """Kill the server, as a power cut does."""
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()


def exceptions(page: Any) -> list[str]:
    """The Python errors that a page shows."""
    return page.get_by_test_id("stException").all_inner_texts()
