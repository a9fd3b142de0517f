"""Commands about pre-training: `pretrain` makes a backbone; `pretraining-overlap` counts molecules one has read."""

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any

from core.chem import molecules as chem
from core.cli.command import QUEUE, SMILES, SOURCE_TABLE, TABLE_SOURCE, Argument, Command, select_values
from core.cli.runner import find_entry, make_run, name_source, open_store
from core.engine.spec import BadInput, Spec, to_json

MAX_LISTED = 20  # molecules to list
SEED = Argument("--seed", type=int, metavar="N", help="random seed of the corpus, the initial weights and the training")
CORPUS = (
    Argument(
        "--randomised-smiles",
        dest="n_randomised_smiles",
        type=int,
        metavar="N",
        help="SMILES written for each molecule: the canonical one, then randomised ones",
    ),
    Argument("--limit", type=int, metavar="N", help="lines to read of each file; 0: all"),
)
MODEL = (
    Argument("--width", type=int, metavar="N", help="length of an embedding"),
    Argument("--depth", type=int, metavar="N", help="number of layers"),
    Argument("--heads", type=int, metavar="N", help="attention heads of a layer"),
    Argument("--feed-forward", dest="inner", type=int, metavar="N", help="width of the feed-forward layers"),
    Argument("--features", type=int, metavar="N", help="random features of the linear attention"),
    Argument("--name", help="name of the model"),
)
TRAINING = (
    Argument("--steps", type=int, metavar="N", help="optimiser steps"),
    Argument("--batch-size", type=int, metavar="N", help="molecules in an optimiser step"),
    Argument("--held-out", type=int, metavar="N", help="molecules to validate with, not trained on"),
    Argument(
        "--token-weight", dest="masked", type=float, metavar="W", help="loss weight of masked-token prediction; 0: off"
    ),
    Argument(
        "--descriptor-weight",
        dest="described",
        type=float,
        metavar="W",
        help="loss weight of descriptor prediction; 0: off",
    ),
    Argument(
        "--label-weight",
        dest="measured",
        type=float,
        metavar="W",
        help="loss weight of the measured values in --labelled; 0: off",
    ),
    Argument("--mask-fraction", dest="share", type=float, metavar="F", help="fraction of the tokens to mask"),
    Argument("--learning-rate", type=float, metavar="R", help="peak learning rate"),
    Argument("--precision", choices=("auto", "float32", "bfloat16"), help="arithmetic of the training"),
)


def pretrain(options: argparse.Namespace) -> Any:
    """Build a corpus and pre-train on it as one spec; the model card of the checkpoint."""
    spec = build_spec(options)
    if options.print_spec:
        value = to_json(spec)
        return value if options.json else json.dumps(value, indent=1, ensure_ascii=False)
    out: Path | None = options.out
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} is there already and not empty; name a new folder for --out")
    answer = make_run(spec, options)
    folder = Path(answer["folder"]) / "backbone"
    if out is not None:
        try:
            with open_store(options).export_folder(out) as target:
                shutil.copytree(folder, target, dirs_exist_ok=True)
        except BadInput as error:
            raise BadInput(f"{error}; the checkpoint is saved in {folder}") from None
    return answer | {"checkpoint": str(out or folder)}


def build_spec(options: argparse.Namespace) -> Spec:
    """The spec that the options describe; options that are not given keep the defaults of the spec."""
    from core.experiments import BuildCorpus, Load, Pretrain
    from core.models.backbones.molformer.untrained import UntrainedMolformer

    model, seed = select_values(options, MODEL), select_values(options, (SEED,))
    if options.backbone and model:
        names = ", ".join(argument.names[0] for argument in MODEL if argument.dest in model)
        raise BadInput(f"--backbone continues with a model that has its shape and name; leave out {names}")
    corpus = BuildCorpus(
        files=tuple(options.files),
        labelled=tuple(Load(name_source(table)) for table in options.labelled or ()),
        leave_out=tuple(Load(name_source(table)) for table in options.leave_out or ()),
        stereo=not options.no_stereo,
        **select_values(options, CORPUS),
        **seed,
    )
    backbone = read_backbone(options) if options.backbone else UntrainedMolformer(**model, **seed)
    return Pretrain(corpus, backbone, **select_values(options, TRAINING), **seed)


def read_backbone(options: argparse.Namespace) -> Any:
    """The backbone with this name or folder, or the spec of a saved run."""
    from core.models.backbones import Pretrained

    run = find_checkpoint_run(options, options.backbone)
    return Pretrained(options.backbone) if run is None else run.spec


def find_checkpoint_run(options: argparse.Namespace, name: str) -> Any:
    """The run with the key `name`, None where `name` is no key. Raises `BadInput` for a run without a checkpoint."""
    from core.models.backbones.checkpoint import Checkpoint

    if not re.fullmatch("[0-9a-f]{4,16}", name) or Path(name).is_dir():
        return None
    entry = find_entry(options, name)
    if entry.kind not in Spec.kinds or Spec.kinds[entry.kind].product is not Checkpoint:
        raise BadInput(f"{entry.key} is a run of kind {entry.kind!r}, which has no checkpoint; see `list`")
    return entry


def count_overlap(options: argparse.Namespace) -> dict[str, Any]:
    """Count the molecules of a table that a checkpoint has read in pre-training, ignoring stereochemistry."""
    from core.data.corpus import contains_molecules
    from core.models.backbones import Pretrained
    from core.models.backbones.checkpoint import KEYS_FILE
    from core.models.backbones.pretraining_history import checkpoint_folder, count_label_columns, load_short_keys

    run = find_checkpoint_run(options, options.checkpoint)
    folder = run.folder / "backbone" if run else checkpoint_folder(Pretrained(options.checkpoint))
    if folder is None or not folder.is_dir():
        raise BadInput(
            f"there is no checkpoint {options.checkpoint!r}; give the name of a shipped one, such as molsway-mini, the "
            "key of a run, or a folder"
        )
    keys = load_short_keys(folder)
    if keys is None:
        raise BadInput(
            f"{options.checkpoint} does not record which molecules it has read (it has no {KEYS_FILE}); give one that "
            "`pretrain` has made"
        )
    smiles, unreadable = read_molecules(options.table, options.smiles)
    shared = [text for text, is_shared in zip(smiles, contains_molecules(smiles, keys), strict=True) if is_shared]
    return {
        "checkpoint": options.checkpoint,
        "corpus": len(keys),
        "labels": count_label_columns(folder),
        "table": options.table,
        "molecules": len(smiles),
        "unreadable": unreadable,
        "overlap": len(shared),
        "share": len(shared) / len(smiles),
        "first": shared[:MAX_LISTED],
    }


def read_molecules(source: str, column: str) -> tuple[list[str], int]:
    """The distinct canonical SMILES of a table, and its number of unreadable rows. Raises `BadInput`."""
    from core.data.readers import choose_smiles, read_table
    from core.engine.report import SILENT_REPORT
    from core.experiments import Load

    scheme, _, name = source.partition(":")
    if scheme in ("bundled", "hub"):
        cells = Load(source, smiles=column).make(SILENT_REPORT).source_smiles()
    else:
        frame = read_table(Path(name if scheme == "file" else source).expanduser()).frame
        column = choose_smiles(frame, column, source)
        cells = frame[column]
    smiles: dict[str, None] = {}
    unreadable = 0
    for cell in cells:
        try:
            smiles[chem.canonical_smiles(str(cell))] = None
        except BadInput:
            unreadable += 1
    if not smiles:
        raise BadInput(f"none of the {unreadable} rows of {source} is a molecule; name another column with --smiles")
    return list(smiles), unreadable


COMMANDS = (
    Command(
        "pretrain",
        pretrain,
        "Build a corpus from SMILES files and pre-train a backbone on it",
        (
            Argument("files", nargs="*", metavar="FILE", help="smi, txt, csv or tsv (each also .gz), or parquet"),
            Argument(
                "--labelled",
                nargs="+",
                metavar="TABLE",
                help=f"tables whose measured values are predicted too: {TABLE_SOURCE}",
            ),
            Argument(
                "--leave-out",
                nargs="+",
                metavar="TABLE",
                help=f"tables whose molecules are left out of the corpus: {TABLE_SOURCE}",
            ),
            Argument("--no-stereo", action="store_true", help="drop stereo marks: stereoisomers become one molecule"),
            Argument("--backbone", metavar="NAME", help="a model to continue with: its name, a folder, or a run's key"),
            *CORPUS,
            *MODEL,
            *TRAINING,
            SEED,
            Argument("--out", type=Path, metavar="DIR", help="a new folder to copy the checkpoint to"),
            Argument("--print-spec", action="store_true", help="print the spec as JSON and make nothing"),
            QUEUE,
        ),
    ),
    Command(
        "pretraining-overlap",
        count_overlap,
        "Count the molecules of a table that a checkpoint has read in its pre-training",
        (
            Argument("checkpoint", metavar="CHECKPOINT", help="name of a shipped checkpoint, a folder, or a run's key"),
            SOURCE_TABLE,
            SMILES,
        ),
    ),
)
