"""What `python -m core pretrain` and `python -m core among` do: a corpus and a model from files; who was in it."""

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any

from core.chem import molecules as chem
from core.cli import runs
from core.engine.spec import BadInput, Spec, as_json

FIRST = 20  # molecules of a table that are named
SHAPE = ("width", "depth", "heads", "inner", "features", "name")  # options that say what a fresh model is like
GATHER = ("spellings", "limit", "seed")
PRETRAIN = (
    *("masked", "described", "measured", "share", "steps", "batch_size", "learning_rate", "held_out", "precision"),
    "seed",
)


def pretrain(options: argparse.Namespace) -> Any:
    """Gather a corpus and pre-train on it as one recipe, made as `run` does; the card of what was made."""
    wanted = recipe(options)
    if options.recipe:
        value = as_json(wanted)
        return value if options.json else json.dumps(value, indent=1, ensure_ascii=False)
    out = options.out
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} is there already and not empty; name a new folder for --out")
    found = runs.made(wanted, options)
    folder = Path(found["folder"]) / "backbone"
    if out is not None:
        try:
            shutil.copytree(folder, out, dirs_exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"{out} cannot be written ({error.strerror or error}); name another folder for --out, or copy "
                f"{folder}, where the checkpoint is kept"
            ) from None
    return found | {"checkpoint": str(out or folder)}


def recipe(options: argparse.Namespace) -> Spec:
    """The recipe that the options stand for; what is not given stays as the recipes have it."""
    from core.experiments import Gather, Pretrain
    from core.models.backbones.molformer.untrained import Fresh

    shape = _given(options, SHAPE)
    if options.begin and shape:
        raise BadInput(
            f"--begin goes on with a model that has its shape and name; leave out {', '.join(f'--{o}' for o in shape)}"
        )
    seed = _given(options, ("seed",))
    corpus = Gather(
        files=tuple(options.files),
        labelled=tuple(map(table, options.labelled or ())),
        leave_out=tuple(map(table, options.leave_out or ())),
        stereo=not options.no_stereo,
        **_given(options, GATHER),
    )
    beginning = _beginning(options) if options.begin else Fresh(**shape, **seed)
    return Pretrain(corpus, beginning, **_given(options, PRETRAIN))


def table(source: str) -> Spec:
    """A table by its source, `bundled:NAME`, `hub:NAME` or `file:PATH`, or by its path alone."""
    from core.experiments import Load

    return Load(source if re.match(r"(bundled|hub|file):", source) else f"file:{source}")


def _given(options: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _beginning(options: argparse.Namespace) -> Any:
    """The model of a name or a folder, or the recipe of a kept run."""
    from core.models.backbones import Pretrained

    run = _kept(options, options.begin)
    return Pretrained(options.begin) if run is None else run.spec


def _kept(options: argparse.Namespace, name: str) -> Any:
    """The run that `name` is a key of and that yields a checkpoint; None where it is no key."""
    from core.models.backbones.checkpoint import Checkpoint

    if not re.fullmatch("[0-9a-f]{4,16}", name) or Path(name).is_dir():
        return None
    entry = runs.kept(options, name)
    if entry.kind not in Spec.kinds or Spec.kinds[entry.kind].product is not Checkpoint:
        raise BadInput(f"{entry.key} is a run of kind {entry.kind!r}, which leaves no checkpoint; see `list`")
    return entry


def among(options: argparse.Namespace) -> dict[str, Any]:
    """How many molecules of a table, stereo marks aside, a checkpoint read when it was pre-trained, and which."""
    from core.data.corpus import among as met
    from core.models.backbones import Pretrained
    from core.models.backbones.checkpoint import KEYS
    from core.models.backbones.pretraining_history import keys_read, labels_learned, place

    run = _kept(options, options.checkpoint)
    folder = run.folder / "backbone" if run else place(Pretrained(options.checkpoint))
    if folder is None or not folder.is_dir():
        raise BadInput(
            f"there is no checkpoint {options.checkpoint!r}; give the name of a shipped one, such as molsway-mini, the "
            "key of a run, or a folder"
        )
    keys = keys_read(folder)
    if keys is None:
        raise BadInput(
            f"{options.checkpoint} does not say which molecules it has read (it has no {KEYS}); checkpoints that "
            "`pretrain` makes do"
        )
    smiles, unreadable = molecules(options.table, options.smiles, options)
    found = [one for one, known in zip(smiles, met(smiles, keys), strict=True) if known]
    return {
        "checkpoint": options.checkpoint,
        "corpus": len(keys),
        "labels": labels_learned(folder),
        "table": options.table,
        "molecules": len(smiles),
        "unreadable": unreadable,
        "among": len(found),
        "share": len(found) / len(smiles),
        "first": found[:FIRST],
    }


def molecules(source: str, column: str, options: argparse.Namespace) -> tuple[list[str], int]:
    """Canonical SMILES of the rows of a table, each molecule once, and how many rows have none. Raises `BadInput`."""
    from core.data.readers import guess_smiles, read_table
    from core.engine.report import SILENT
    from core.experiments import Load

    where, _, name = source.partition(":")
    if where in ("bundled", "hub"):
        cells = Load(source, smiles=column).make(SILENT).given()
    else:
        frame = read_table(Path(name if where == "file" else source).expanduser()).frame
        column = column or guess_smiles(frame)
        if column not in frame:
            raise BadInput(f"no column of {source} holds SMILES; name it with --smiles")
        cells = frame[column]
    found, unreadable = {}, 0
    for cell in cells:
        try:
            found[chem.canonical(str(cell))] = None
        except BadInput:
            unreadable += 1
    if not found:
        raise BadInput(f"none of the {unreadable} rows of {source} is a molecule; name another column with --smiles")
    return list(found), unreadable


def add(command: Any) -> None:
    """The two commands, for the parser: `command(name, does, help)` gives the parser of one."""
    made = command("pretrain", pretrain, "gather a corpus from files and pre-train a backbone on it")
    made.add_argument("files", nargs="*", metavar="FILE", help="smi, txt, csv or tsv (each also .gz), or parquet")
    tables = "as bundled:NAME, hub:NAME or a path"
    made.add_argument("--labelled", nargs="+", metavar="TABLE", help=f"tables whose labels are learned too, {tables}")
    made.add_argument("--leave-out", nargs="+", metavar="TABLE", help=f"tables of molecules never to read, {tables}")
    for name, about in (
        ("steps", "optimiser steps"),
        ("batch-size", "molecules in an optimiser step"),
        ("held-out", "molecules that are only looked at"),
        ("width", "length of an embedding"),
        ("depth", "layers"),
        ("heads", "attention heads of a layer"),
        ("inner", "width of the feed-forward nets"),
        ("features", "random features of the linear attention"),
        ("spellings", "ways each molecule is written"),
        ("limit", "lines of each file to read; 0: all"),
        ("seed", "of the corpus, the random weights and the training"),
    ):
        made.add_argument(f"--{name}", type=int, metavar="N", help=about)
    for name, about in (
        ("masked", "weight of guessing hidden tokens; 0: not asked"),
        ("described", "weight of telling descriptors; 0: not asked"),
        ("measured", "weight of telling measured labels; 0: not asked"),
        ("share", "share of the tokens that is hidden"),
        ("learning-rate", "peak of the learning rate"),
    ):
        made.add_argument(f"--{name}", type=float, metavar="W", help=about)
    made.add_argument("--no-stereo", action="store_true", help="drop stereo marks: stereoisomers become one molecule")
    made.add_argument("--begin", metavar="NAME", help="a checkpoint to go on from: a name, a folder, or a run's key")
    made.add_argument("--name", help="what the model is to be called")
    made.add_argument("--precision", choices=("auto", "float32", "bfloat16"), help="arithmetic of the training")
    made.add_argument("--out", type=Path, metavar="DIR", help="a new folder to copy the checkpoint to")
    made.add_argument("--recipe", action="store_true", help="print the recipe's JSON and make nothing")
    made.add_argument("--queue", action="store_true", help="join the line of the process that owns the cache, and wait")
    asked = command("among", among, "how many molecules of a table a checkpoint read when it was pre-trained")
    asked.add_argument("checkpoint", metavar="CHECKPOINT", help="a shipped one's name, a folder, or a run's key")
    asked.add_argument("table", metavar="TABLE", help=tables)
    asked.add_argument("--smiles", default="", metavar="COLUMN", help="column of the SMILES (guessed by default)")
