"""What the commands of `python -m core` do: each takes the parsed options and gives plain JSON, or text to print."""

import argparse
import contextlib
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from core.cli.progress_bar import Bar
from core.engine import spec as recipes
from core.engine.report import Report
from core.engine.spec import BadInput, Spec

OF_PRESETS = ("seed", "table", "pool", "data")  # options that presets alone take
DEEPEST = 100  # recipes within recipes; python itself gives up at some 170


def run(options: argparse.Namespace) -> Any:
    from core.experiments import PRESETS, preset

    if options.spec in PRESETS:
        wanted = preset(options.spec, options.seed or 0, *_tables(options), options.data)
    elif given := [
        f"--{name}" for name in ("seed", "table", "pool", "data") if getattr(options, name) not in (None, "")
    ]:
        raise BadInput(
            f"{given[0]} is for presets ({', '.join(PRESETS)}); change the seeds and tables inside the recipe"
        )
    else:
        wanted = _recipe(sys.stdin.read() if options.spec == "-" else _text(Path(options.spec)))
    return made(wanted, options, options.workers)


def _tables(options: argparse.Namespace) -> tuple[Any, Any]:
    """The table and the pool that a preset is to be of, where they are named: `bundled:solubility`, or a file."""
    from core.experiments import Load

    targets = tuple(options.target or ())
    if not options.table and (targets or options.unit):
        raise BadInput("--target and --unit are of a --table; name that too")
    if options.pool_target and not options.pool:
        raise BadInput("--pool-target is of a --pool; name that too")
    if options.pool and options.table and not targets:
        raise BadInput("a --pool wants --target, the column of the --table whose labels both have")
    own = tuple(options.pool_target or targets)
    if len(own) != len(targets):
        raise BadInput(f"the table has {len(targets)} targets, the pool {len(own)}; give --pool-target for each")
    table = Load(source_of(options.table), targets=targets, unit=options.unit) if options.table else None
    pool = Load(source_of(options.pool), targets=own, tasks=targets, unit=options.unit) if options.pool else None
    return table, pool


def source_of(given: str) -> str:
    return given if re.match("(bundled|hub|file):", given) else f"file:{given}"


def made(wanted: Spec, options: argparse.Namespace, workers: str = "1") -> dict[str, Any]:
    """Make a spec through the store, or in the queue of who owns the cache; what there is to say of it."""
    from core import experiments
    from core.engine.job_queue import Line
    from core.engine.process_pool import several, together
    from core.engine.store import Store
    from core.engine.worker import own

    processes = several(workers)
    if options.queue and processes > 1:
        raise BadInput("--queue leaves the work to the process that owns the cache; leave --workers out")
    store = Store(options.cache)
    wanted = experiments.settled(wanted, store.files)
    if not store.has(wanted):
        if options.queue:
            follow(Line(options.cache), wanted)
        else:
            with own(options.cache), Bar() as bar:
                report = Report(bar, files=store.files, planned=bar.pace.plan)
                together(wanted, store, report, processes, experiments.__name__)
    return described(store, wanted, options.json)


def described(store: Any, spec: Spec, as_json: bool) -> dict[str, Any]:
    """What there is to say of a run; for people as its own tables, where it has some."""
    from core.results.tabular import Tabled

    product = store.get(spec)
    found = {"kind": spec.kind, "key": spec.key, "folder": str(store.folder(spec)), "title": spec.title}
    if not as_json and isinstance(product, Tabled) and (text := product.text()):
        return found | {"found": "\n" + text}
    return found | {"summary": product.summary()}


def follow(line: Any, spec: Spec) -> None:
    """Put a recipe in the line and wait for its end."""
    from core.engine.worker import Held, own

    job = line.submit(spec)
    with contextlib.suppress(Held), own(line.root):
        print("nobody works this line yet; start the app, or `python -m core worker` beside this", file=sys.stderr)
    with Bar() as bar:
        while job and job.live:
            bar.show(job.fraction, job.message or job.state, job.eta)
            time.sleep(0.3)
            job = line.job(spec.key)
    if job is None:
        raise RuntimeError("the job was taken out of the line")
    if job.state != "done":
        raise RuntimeError(f"the job {job.state}: {job.error or 'see the page of runs'}")


def _recipe(text: str) -> Spec:
    """A recipe from its JSON. Raises `BadInput`, also for one that is nested without end."""
    deepest = depth = 0
    for mark in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        depth += (mark in "{[") - (mark in "}]")
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        raise BadInput(f"the recipe is nested {deepest} levels deep, at most {DEEPEST} are read; run its parts first")
    return recipes.read_json(text)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        from core.experiments import PRESETS

        raise BadInput(
            f"no recipe can be read from {path} ({error.__class__.__name__}); give a JSON file, - for stdin, "
            f"or a preset: {', '.join(PRESETS)}"
        ) from None


def opened(options: argparse.Namespace) -> Any:
    import core.experiments  # noqa: F401  (the kinds have to be known before a recipe is read)
    from core.engine.store import Store

    return Store(options.cache)


def kept(options: argparse.Namespace, key: str) -> Any:
    """What the store has under a key, or its first letters. Raises `BadInput`."""
    return opened(options).find(key)


def show(options: argparse.Namespace) -> Any:
    store = opened(options)
    entry = store.find(options.key)
    entry.check_current()
    return described(store, entry.spec, options.json)


def list_(options: argparse.Namespace) -> Any:
    entries = opened(options).entries()
    if options.json:
        names = ("kind", "key", "title", "headline", "made", "seconds", "bytes")
        return [{name: getattr(entry, name) for name in names} for entry in entries]
    lines = [
        f"{e.key}  {e.kind:<16} {e.made:<26} {e.seconds:8.1f} s {e.bytes / 1e6:9.2f} MB  {e.title}  ({e.headline})"
        for e in entries
    ]
    return "\n".join(lines) or "nothing is kept here yet; try: python -m core run demo"


def export(options: argparse.Namespace) -> Any:
    store = opened(options)
    entry = store.find(options.key)
    if options.form == "run":
        store.export(entry.key, options.folder)
    elif options.form == "report":
        from core.figures.html_report import document
        from core.results.comparison import Comparison

        if not isinstance(found := store.product(entry), Comparison):
            raise BadInput(f"{entry.key} is a run of kind {entry.kind!r}; a report is of a study, which compares arms")
        with store.away(options.folder) as folder:
            (folder / "report.html").write_text(document(found, entry.spec, entry.made), encoding="utf-8")
    else:
        fit = _fit_of(entry, store)
        from core.models import export as portable

        with store.away(options.folder) as folder:
            portable.export(fit, options.form, folder, entry.title)
    return {"key": entry.key, "kind": entry.kind, "folder": str(options.folder)}


def _fit_of(entry: Any, store: Any) -> Any:
    """The fit that an entry holds. Raises `BadInput` where it holds something else."""
    from core.results.fit import Fit

    fit = store.product(entry)
    if not isinstance(fit, Fit):
        raise BadInput(
            f"{entry.key} is a run of kind {entry.kind!r}, which has no network; give the key of a fine-tuning"
        )
    return fit


def delete(options: argparse.Namespace) -> Any:
    store = opened(options)
    entry = store.find(options.key)
    store.delete(entry.key)
    return {"deleted": entry.key, "kind": entry.kind}


def recipe(options: argparse.Namespace) -> Any:
    from core.experiments import preset

    value = recipes.as_json(preset(options.name, options.seed or 0, *_tables(options), options.data))
    return value if options.json else json.dumps(value, indent=1, ensure_ascii=False)


def methods(options: argparse.Namespace) -> Any:
    import torch

    from core.models.backbones import Untrained
    from core.models.methods import METHODS
    from core.models.predictor import Predictor
    from core.training.loop import cost

    found = {}
    for kind, method in METHODS.items():
        with torch.device("meta"):
            predictor = Predictor(Untrained(options.backbone)(), ["label"], ["regression"])
            method()(predictor)
        found[kind] = {"name": method.name, **cost(predictor)}
    if options.json:
        return {"backbone": options.backbone, "methods": found}
    rows = [
        f"{kind:<12} {one['name']:<20} {one['trainable']:>12,} of {one['parameters']:>12,}"
        f"  {100 * one['trainable_share']:8.4f} %"
        for kind, one in found.items()
    ]
    return "\n".join(rows)


def verify(options: argparse.Namespace) -> Any:
    """Put finished scores to the test of retraining."""
    from core.experiments import Influence, MeanInfluence, Verify

    scores = kept(options, options.key).spec
    if not isinstance(scores, (Influence, MeanInfluence)):
        raise BadInput(f"{options.key} is a run of kind {scores.kind!r}; give the key of one of kind 'influence'")
    return made(Verify.of(scores, options.subsets, options.seed), options)


def suspects(options: argparse.Namespace) -> Any:
    """Which training labels of a fine-tuning look wrong."""
    from core.experiments import FineTune, Suspects

    fit = kept(options, options.key).spec
    if not isinstance(fit, FineTune):
        raise BadInput(f"{options.key} is a run of kind {fit.kind!r}; give the key of one of kind 'finetune'")
    answer = made(Suspects.of(fit), options)
    table = opened(options).get(Suspects.of(fit)).table
    order = table["suspicion"].sort_values(ascending=False).index[: options.show]
    shown = table.loc[order].assign(row=order).drop(columns=["influence", "slope"], errors="ignore")
    return answer | {"furthest": json.loads(shown.to_json(orient="records"))}


def worker(options: argparse.Namespace) -> Any:
    from core import experiments
    from core.engine.job_queue import Line
    from core.engine.process_pool import several
    from core.engine.store import Store
    from core.engine.worker import Worker

    working = Worker(Line(options.cache), Store(options.cache), experiments.__name__, several(options.workers))
    working.start()
    print(f"working the line of {options.cache}; Ctrl-C stops after a checkpoint", file=sys.stderr)
    try:
        while True:
            time.sleep(1)
    finally:
        working.stop()
