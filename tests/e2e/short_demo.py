"""`python -m streamlit` with a demo of one minute, for tests."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])

from core.experiments import FineTune, LabelNoise, Load, SelectionStudy, presets, split_table  # noqa: E402
from core.models.backbones import Untrained  # noqa: E402


def fine_tuning(steps: int = 40, evaluations: int = 5) -> FineTune:
    """A fine-tuning of seconds: the smallest model, a hundred molecules."""
    train, valid, test, _ = tables()
    backbone = Untrained("molsway-tiny")
    return FineTune(train, valid, test, backbone=backbone, steps=steps, evaluations=evaluations, batch_size=16)


def study() -> SelectionStudy:
    """The demo with every arm and fewer molecules."""
    pool = LabelNoise(tables()[3], fraction=0.2, seed=0)
    return SelectionStudy(fit=fine_tuning(), pool=pool, count=20, seeds=(0, 1))


def tables() -> tuple:
    return split_table(
        Load("bundled:solubility", limit=420), by="random", seed=0, train=100, valid=60, pool=60, test=None
    )


def demo(seed: int = 0, full: Callable[[int], SelectionStudy] = presets.PRESETS["demo"]) -> SelectionStudy:
    """The short demo, or with MOLSWAY_FULL_DEMO=1 the shipped one."""
    return full(seed) if os.environ.get("MOLSWAY_FULL_DEMO") == "1" else study()


if __name__ == "__main__":
    presets.PRESETS["demo"] = demo
    if "MOLSWAY_CHECKPOINT_SECONDS" in os.environ:
        import core.training.loop

        core.training.loop.CHECKPOINT_SECONDS = float(os.environ["MOLSWAY_CHECKPOINT_SECONDS"])
    if "MOLSWAY_LIVE_SECONDS" in os.environ:
        from pages.widgets import job_panel

        job_panel.JOB_SECONDS = job_panel.QUEUE_SECONDS = float(os.environ["MOLSWAY_LIVE_SECONDS"])
    from streamlit.web.cli import main

    main(prog_name="streamlit")
