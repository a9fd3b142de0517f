"""Commands that apply a saved run to every row of a table: score, predict, embed."""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.cli.command import INPUT_TABLE, KEY, OUT_FILE, READ, SMILES, Argument, Command
from core.cli.progress_bar import ProgressBar
from core.cli.reading import parse_reading
from core.cli.runner import open_store
from core.engine.report import Report
from core.engine.spec import BadInput, Spec


def score(options: argparse.Namespace) -> Any:
    from core.experiments.inference.apply import score_file
    from core.results.scores import Scores

    return apply_run(options, {Scores: score_file}, labels=options.labels, top=options.top)


def predict(options: argparse.Namespace) -> Any:
    from core.experiments.inference.apply import predict_file
    from core.experiments.inference.embed import predict_multitask_file
    from core.models.multitask_model import MultitaskModel
    from core.results.fit import Fit

    of_fit = functools.partial(predict_file, level=options.level)
    return apply_run(options, {Fit: of_fit, MultitaskModel: predict_multitask_file})


def embed(options: argparse.Namespace) -> Any:
    from core.experiments.inference.embed import embed_file

    with ProgressBar() as bar:
        report = Report(tell=bar)
        table = Path(options.table)
        settings = {"smiles": options.smiles, "reading": parse_reading(options.read)}
        return embed_file(open_store(options), options.start, table, options.out, report, **settings)


def apply_run(options: argparse.Namespace, functions: dict[type, Callable[..., Any]], **settings: Any) -> Any:
    """Apply a run to a table with the one of `functions` for the product of the run. Raises `BadInput` if none fits."""
    from core.results.fit import Fit

    store = open_store(options)
    entry = store.find(options.key)
    kinds = {kind: product for product in functions for kind, cls in Spec.kinds.items() if cls.product is product}
    if entry.kind not in kinds:
        spec_class = Spec.kinds.get(entry.kind)
        is_baseline = spec_class is not None and spec_class.product is Fit and not spec_class.has_gradient
        reason = ", which has no gradient to score with" if is_baseline else ""
        advice = f"give the key of one of kind {' or '.join(map(repr, kinds))} (see `list`)"
        raise BadInput(f"{entry.key} is a run of kind {entry.kind!r}{reason}; {advice}")
    entry.check_current()
    with ProgressBar() as bar:
        report = Report(tell=bar)
        function = functions[kinds[entry.kind]]
        settings |= {"smiles": options.smiles, "reading": parse_reading(options.read)}
        return function(store, entry.spec, Path(options.table), options.out, report, **settings)


COMMANDS = (
    Command(
        "score",
        score,
        "Score every molecule of a table with a saved influence run",
        (
            KEY,
            INPUT_TABLE,
            OUT_FILE,
            SMILES,
            READ,
            Argument(
                "--labels",
                default="",
                metavar="COLUMN",
                help="column with the measured values (default: the task's name)",
            ),
            Argument(
                "--top", type=int, default=5, metavar="K", help="most helpful and most harmful molecules to print (5)"
            ),
        ),
    ),
    Command(
        "predict",
        predict,
        "Predict every molecule of a table with a saved model",
        (
            KEY,
            INPUT_TABLE,
            OUT_FILE,
            SMILES,
            READ,
            Argument(
                "--level", type=float, default=0.9, metavar="P", help="coverage of the prediction intervals (0.9)"
            ),
        ),
    ),
    Command(
        "embed",
        embed,
        "Write the embedding of every molecule of a table",
        (
            Argument(
                "start",
                metavar="MODEL",
                help="key of a run with a backbone (fine-tuned, adapted, pre-trained or multitask), or a checkpoint's "
                "name or folder",
            ),
            INPUT_TABLE,
            OUT_FILE,
            SMILES,
            READ,
        ),
    ),
)
