"""The same recipes without a browser: `python -m core …`.

Exit status: 0 done, 2 bad input (one clear line on stderr), 1 a run that failed.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core import spec as recipes
from core.report import Cancelled, Report
from core.spec import BadInput, Spec

CACHE = Path(os.environ.get("MOLSWAY_CACHE", "cache"))


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        answer = options.command(options)
    except BadInput as error:
        print(f"molsway: {error}", file=sys.stderr)
        return 2
    except (Cancelled, KeyboardInterrupt):
        print("molsway: stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0
    except Exception as error:
        if os.environ.get("MOLSWAY_TRACEBACK"):
            raise
        print(f"molsway: {type(error).__name__}: {error} (MOLSWAY_TRACEBACK=1 shows where)", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(answer, indent=1, ensure_ascii=False))
    elif answer is not None:
        print(answer if isinstance(answer, str) else readable(answer))
    return 0


def parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="one JSON document on stdout, nothing else there")
    shared.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help="where runs are kept (default: cache/)")
    top = argparse.ArgumentParser(prog="python -m core", description=__doc__.splitlines()[0])
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, does: Callable[[argparse.Namespace], Any], help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, parents=[shared], help=help, description=help)
        added.set_defaults(command=does)
        return added

    run_ = command("run", run, "make a recipe: a JSON file, - for stdin, or the name of a preset such as demo")
    run_.add_argument("spec", metavar="SPEC")
    run_.add_argument("--seed", type=int, default=0, help="seed of a preset")
    run_.add_argument("--queue", action="store_true", help="join the line of the process that owns the cache, and wait")
    show_ = command("show", show, "what the store has under a key (its first letters do)")
    show_.add_argument("key", metavar="KEY")
    command("list", list_, "what the store has, newest first")
    export_ = command("export", export, "copy a run to a folder")
    export_.add_argument("key", metavar="KEY")
    export_.add_argument("folder", type=Path, metavar="DIR")
    delete_ = command("delete", delete, "delete a run")
    delete_.add_argument("key", metavar="KEY")
    kinds_ = command("kinds", kinds, "every kind, family and member: the schema of recipes")
    kinds_.add_argument("kind", nargs="?", metavar="KIND")
    recipe_ = command("recipe", recipe, "print the JSON of a preset, to change and run")
    recipe_.add_argument("name", metavar="PRESET")
    recipe_.add_argument("--seed", type=int, default=0)
    methods_ = command("methods", methods, "parameters that each method trains")
    methods_.add_argument("--backbone", default="molsway-mini", metavar="NAME")
    for name, does, help in (
        ("score", score, "score every row of a table with a finished influence run"),
        ("predict", predict, "predict every row of a table with a finished fit"),
    ):
        added = command(name, does, help)
        added.add_argument("key", metavar="KEY")
        added.add_argument("table", metavar="TABLE", help="CSV, TSV, Parquet, SDF or SMI")
        added.add_argument("--out", type=Path, required=True, metavar="FILE", help="CSV or Parquet to write")
        added.add_argument("--smiles", default="", metavar="COLUMN", help="column of the SMILES (guessed by default)")
        if name == "score":
            added.add_argument("--labels", default="", metavar="COLUMN", help="column of the labels (the task's name by default)")
    command("worker", worker, "work the line without a browser, until Ctrl-C")
    bench_ = command("bench", bench, "the benchmarks: each figure a ratio between two things measured in one run")
    bench_.add_argument("name", nargs="?", default="", metavar="NAME")
    return top


def run(options: argparse.Namespace) -> Any:
    from core.experiments import PRESETS, preset, settled
    from core.jobs import Line, own
    from core.store import Store, make

    if options.spec in PRESETS:
        wanted = preset(options.spec, options.seed)
    elif options.spec == "-":
        wanted = recipes.read_json(sys.stdin.read())
    else:
        wanted = recipes.read_json(_text(Path(options.spec)))
    store = Store(options.cache)
    wanted = settled(wanted, store.files)
    if not store.has(wanted):
        if options.queue:
            follow(Line(options.cache), wanted)
        else:
            with own(options.cache):
                make(wanted, store, Report(tell=Bar(), files=store.files))
            print(file=sys.stderr)
    return described(store, wanted)


def described(store: Any, spec: Spec) -> dict[str, Any]:
    return {
        "kind": spec.kind,
        "key": spec.key,
        "folder": str(store.folder(spec)),
        "title": spec.title,
        "summary": store.get(spec).summary(),
    }


def follow(line: Any, spec: Spec) -> None:
    """Put a recipe in the line and wait for its end."""
    job, bar = line.submit(spec), Bar()
    while job.state in ("waiting", "running"):
        bar(job.fraction, job.message or job.state, {})
        time.sleep(0.3)
        job = line.job(spec.key)
    print(file=sys.stderr)
    if job.state != "done":
        raise RuntimeError(f"the job {job.state}: {job.error or 'see the page of runs'}")


class Bar:
    """A progress line on stderr, with the time left once it can be told."""

    def __init__(self) -> None:
        self.began, self.shown = time.monotonic(), 0.0

    def __call__(self, fraction: float, message: str, numbers: dict[str, Any]) -> None:
        now = time.monotonic()
        terminal = sys.stderr.isatty()
        if now - self.shown < (0.2 if terminal else 10):
            return
        self.shown = now
        spent = now - self.began
        left = f"{spent * (1 - fraction) / fraction / 60:4.1f} min left" if fraction > 0.03 and spent > 3 else " " * 13
        title = f"{numbers['title']}: " if numbers.get("title") else ""
        filled = round(24 * fraction)
        line = f"[{'#' * filled}{'.' * (24 - filled)}] {100 * fraction:5.1f} % {left}  {title}{message}"
        print(f"\r{line[:150]:<150}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        from core.experiments import PRESETS

        raise BadInput(
            f"no recipe can be read from {path} ({error.__class__.__name__}); give a JSON file, - for stdin, "
            f"or a preset: {', '.join(PRESETS)}"
        ) from None


def _store(options: argparse.Namespace) -> Any:
    import core.experiments  # noqa: F401  (the kinds have to be known before a recipe is read)
    from core.store import Store

    return Store(options.cache)


def show(options: argparse.Namespace) -> Any:
    store = _store(options)
    return described(store, store.find(options.key).spec)


def list_(options: argparse.Namespace) -> Any:
    entries = _store(options).entries()
    if options.json:
        return [
            {"kind": e.kind, "key": e.key, "title": e.title, "made": e.made, "seconds": e.seconds, "bytes": e.bytes}
            for e in entries
        ]
    lines = [f"{e.key}  {e.kind:<16} {e.made:<26} {e.seconds:8.1f} s {e.bytes / 1e6:9.2f} MB  {e.title}" for e in entries]
    return "\n".join(lines) or "nothing is kept here yet; try: python -m core run demo"


def export(options: argparse.Namespace) -> Any:
    store = _store(options)
    entry = store.find(options.key)
    store.export(entry.key, options.folder)
    return {"key": entry.key, "kind": entry.kind, "folder": str(options.folder)}


def delete(options: argparse.Namespace) -> Any:
    store = _store(options)
    entry = store.find(options.key)
    store.delete(entry.key)
    return {"deleted": entry.key, "kind": entry.kind}


def kinds(options: argparse.Namespace) -> Any:
    import core.experiments  # noqa: F401
    from core.experiments.finetune import STARTS
    from core.methods import METHODS
    from core.samplers import SAMPLERS
    from core.solvers import SOLVERS

    families = {"backbone": STARTS, "method": METHODS, "solver": SOLVERS, "sampler": SAMPLERS}
    found = {kind: {"yields": made.product.__name__, **_schema(made)} for kind, made in sorted(Spec.kinds.items())}
    found |= {f"{noun}:{kind}": _schema(member) for noun, family in families.items() for kind, member in family.items()}
    if not options.kind:
        return found
    chosen = {name: value for name, value in found.items() if options.kind in (name, name.split(":")[0], name.split(":")[-1])}
    if not chosen:
        raise BadInput(f"there is no kind {options.kind!r}; there are {', '.join(found)}")
    return chosen


def _schema(made: type) -> dict[str, Any]:
    import dataclasses

    fields = {}
    for field in recipes.form(made):
        wanted = f"a recipe that yields a {field.product.__name__}" if field.product else _type_name(field.type)
        about = {"type": f"one of the family “{field.family.noun}”" if field.family else wanted, "help": field.help}
        if field.default is not dataclasses.MISSING:
            about["default"] = recipes.as_json(field.default)
        limits = {"least": field.least, "most": field.most, "choices": list(field.choices) or None}
        fields[field.name] = about | {name: value for name, value in limits.items() if value is not None}
    return {"help": (made.__doc__ or "").strip().splitlines()[0], "fields": fields}


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def recipe(options: argparse.Namespace) -> Any:
    from core.experiments import preset

    value = recipes.as_json(preset(options.name, options.seed))
    return value if options.json else json.dumps(value, indent=1, ensure_ascii=False)


def methods(options: argparse.Namespace) -> Any:
    import torch

    from core.backbones import Untrained
    from core.methods import METHODS
    from core.predictor import Predictor
    from core.training import cost

    found = {}
    with torch.device("meta"):
        predictor = Predictor(Untrained(options.backbone)(), ["label"], ["regression"])
    for kind, method in METHODS.items():
        method()(predictor)
        found[kind] = cost(predictor)
    if options.json:
        return {"backbone": options.backbone, "methods": found}
    rows = [
        f"{kind:<10} {c['trainable']:>12,} of {c['parameters']:>12,}  {100 * c['trainable_share']:8.4f} %" for kind, c in found.items()
    ]
    return "\n".join(rows)


def score(options: argparse.Namespace) -> Any:
    from core.experiments.applying import score_file

    return _applied(options, "influence", score_file, labels=options.labels)


def predict(options: argparse.Namespace) -> Any:
    from core.experiments.applying import predict_file

    return _applied(options, "finetune", predict_file)


def _applied(options: argparse.Namespace, kind: str, does: Callable[..., dict[str, Any]], **more: Any) -> Any:
    store = _store(options)
    entry = store.find(options.key)
    if entry.kind != kind:
        raise BadInput(f"{entry.key} is a run of kind {entry.kind!r}; give the key of one of kind {kind!r} (see `list`)")
    answer = does(store, entry.spec, Path(options.table), options.out, Report(tell=Bar()), smiles=options.smiles, **more)
    print(file=sys.stderr)
    return answer


def worker(options: argparse.Namespace) -> Any:
    from core.jobs import Line, Worker
    from core.store import Store

    working = Worker(Line(options.cache), Store(options.cache))
    working.start()
    print(f"working the line of {options.cache}; Ctrl-C stops after a checkpoint", file=sys.stderr)
    try:
        while True:
            time.sleep(1)
    finally:
        working.stop()


def bench(options: argparse.Namespace) -> Any:
    from core.bench import run as measured

    return measured(options.name)


def readable(answer: Any, depth: int = 0) -> str:
    """A plain listing of nested values."""
    pad = "  " * depth
    if isinstance(answer, dict):
        lines = [
            f"{pad}{name}: {readable(value, 0)}" if not isinstance(value, (dict, list)) or not value
            else f"{pad}{name}:\n{readable(value, depth + 1)}"
            for name, value in answer.items()
        ]
        return "\n".join(lines)
    if isinstance(answer, list):
        if all(not isinstance(value, (dict, list)) for value in answer):
            return pad + ", ".join(readable(value) for value in answer)
        return "\n".join(f"{pad}- {readable(value, depth + 1).lstrip()}" for value in answer)
    return f"{pad}{answer:.6g}" if isinstance(answer, float) else f"{pad}{answer}"


if __name__ == "__main__":
    sys.exit(main())
