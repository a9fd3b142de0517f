"""Commands that apply a run to every row of a table: score, predict, embed."""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.cli.progress_bar import Bar
from core.cli.runs import opened
from core.engine.report import Report
from core.engine.spec import BadInput, Spec


def score(options: argparse.Namespace) -> Any:
    from core.experiments.inference.apply import score_file
    from core.results.scores import Scores

    return _applied(options, {Scores: score_file}, labels=options.labels, top=options.top)


def predict(options: argparse.Namespace) -> Any:
    from core.experiments.inference.apply import predict_file
    from core.experiments.inference.embed import predict_trunk_file
    from core.models.trunk import Trunk
    from core.results.fit import Fit

    of_fit = functools.partial(predict_file, level=options.level)
    return _applied(options, {Fit: of_fit, Trunk: predict_trunk_file})


def embed(options: argparse.Namespace) -> Any:
    """Embeddings of every molecule of a table, by a run's backbone or a checkpoint."""
    from core.experiments.inference.embed import embed_file

    with Bar() as bar:
        given = (options.start, Path(options.table), options.out, Report(tell=bar))
        return embed_file(opened(options), *given, smiles=options.smiles)


def _applied(options: argparse.Namespace, does: dict[type, Callable[..., Any]], **more: Any) -> Any:
    """Apply the run of a key to a table; `does`: by the product of its kind how."""
    from core.results.fit import Fit

    store = opened(options)
    entry = store.find(options.key)
    kinds = {kind: product for product in does for kind, cls in Spec.kinds.items() if cls.product is product}
    if entry.kind not in kinds:
        known = Spec.kinds.get(entry.kind)
        bare = known is not None and known.product is Fit and not known.has_gradient
        why = ", which has no gradient to score with" if bare else ""
        wanted = f"give the key of one of kind {' or '.join(map(repr, kinds))} (see `list`)"
        raise BadInput(f"{entry.key} is a run of kind {entry.kind!r}{why}; {wanted}")
    entry.check_current()
    with Bar() as bar:
        given = (Path(options.table), options.out, Report(tell=bar))
        return does[kinds[entry.kind]](store, entry.spec, *given, smiles=options.smiles, **more)
