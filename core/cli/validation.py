"""Commands that check runs: scores against retraining (`lds`), and training labels (`label-errors`)."""

import argparse
import json
from typing import Any

from core.cli.command import KEY, QUEUE, Argument, Command
from core.cli.runner import find_entry, make_run, open_store
from core.engine.spec import BadInput


def check_scores(options: argparse.Namespace) -> Any:
    from core.experiments import LDS, Influence, SeedAverage

    scores = find_entry(options, options.key).spec
    if not isinstance(scores, (Influence, SeedAverage)):
        raise BadInput(
            f"{options.key} is a run of kind {scores.kind!r}; give the key of one of kind {Influence.kind!r}"
        )
    return make_run(LDS.of(scores, options.subsets, options.seed), options)


def find_label_errors(options: argparse.Namespace) -> Any:
    from core.experiments import FineTune, LabelErrors

    fit = find_entry(options, options.key).spec
    if not isinstance(fit, FineTune):
        raise BadInput(f"{options.key} is a run of kind {fit.kind!r}; give the key of one of kind {FineTune.kind!r}")
    spec = LabelErrors.of(fit)
    answer = make_run(spec, options)
    table = open_store(options).get(spec).table
    order = table["suspicion"].sort_values(ascending=False).index[: options.show]
    rows = table.loc[order].assign(row=order).drop(columns=["influence", "slope"], errors="ignore")
    return answer | {"most_suspicious": json.loads(rows.to_json(orient="records"))}


COMMANDS = (
    Command(
        "lds",
        check_scores,
        "Check saved influence scores against retraining with random halves of the pool (linear datamodelling score)",
        (
            KEY,
            Argument("--subsets", type=int, default=32, metavar="N", help="retrainings, each with another half (32)"),
            Argument("--seed", type=int, default=0, help="random seed of the halves (default: 0)"),
            QUEUE,
        ),
    ),
    Command(
        "label-errors",
        find_label_errors,
        "Rank the training labels of a fine-tuned model by how likely they are wrong, without retraining",
        (
            KEY,
            Argument(
                "--show", type=int, default=12, metavar="N", help="labels to print, the most suspicious first (12)"
            ),
            QUEUE,
        ),
    ),
)
