"""Gathering a corpus: SMILES files of any size → molecules, each once, tokenised and described, fit to pre-train on."""

import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from core.chem import descriptors as properties
from core.chem import molecules as chem
from core.data.corpus import Corpus, hash_name
from core.data.dataset import Dataset
from core.data.readers import smiles_stream
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.models.backbones.molformer.vocabulary import TOKEN_REGEX, UNK, build_vocabulary
from core.training.corpus_arrays import build_arrays, collect_labels, digest_names

BLOCK_LINES = 16_384  # lines of a file that are worked on, and kept, at once
CHUNK_MOLECULES = 256  # molecules that a process takes at a time


@settings
class BuildCorpus(Spec[Corpus]):
    """Read SMILES files line by line, leave out what must stay unseen, write each molecule down once.

    A molecule is written `n_randomised_smiles` ways (canonical, then random orders of its atoms: Bjerrum 2017, arXiv 1703.07076)
    and described by RDKit's quick 2D descriptors. Labelled tables join the corpus with what was measured. Descriptors
    are computed on all cores, 3 ms a molecule; memory grows by 100 bytes a molecule, the rest is on disk.
    """

    kind: ClassVar[str] = "build-corpus"
    revision: ClassVar[int] = 4
    effort: ClassVar[float] = 20.0

    files: tuple[str, ...] = Field(default=(), description="paths of SMILES files: smi, txt, csv, tsv (.gz), parquet")
    labelled: tuple[Spec[Dataset], ...] = Field(default=(), description="tables whose labels are learned too")
    leave_out: tuple[Spec[Dataset], ...] = Field(
        default=(), description="molecules that must not be in the corpus, stereo marks aside, with a label or without"
    )
    stereo: bool = Field(default=True, description="keep stereo marks; without, stereoisomers become one molecule")
    n_randomised_smiles: int = Field(
        default=3, ge=1, le=32, description="ways each molecule is written, the canonical one first"
    )
    longest: int = Field(default=128, ge=8, le=2000, description="tokens of the longest molecule that is taken")
    least: int = Field(default=10, ge=1, description="occurrences that make a bracket atom a word of the vocabulary")
    limit: int = Field(default=0, ge=0, description="read this many lines of each file, to try something out; 0: all")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of the random spellings")
    digests: tuple[str, ...] = Field(default=(), description="sha256 of the files, set when they are first used")

    def __post_init__(self) -> None:
        if not self.files and not self.labelled:
            raise BadInput("a corpus wants at least one file in `files` or one table in `labelled`")
        for file in self.files:
            smiles_stream.stream_kind(Path(file))  # said now, not when the files before it have been read
        if self.digests and len(self.digests) != len(self.files):
            raise BadInput(f"{len(self.digests)} digests for {len(self.files)} files; leave `digests` empty")

    @property
    def title(self) -> str:
        parts = {"file": len(self.files), "labelled table": len(self.labelled)}
        return "corpus of " + " and ".join(f"{n} {noun}{'s' * (n > 1)}" for noun, n in parts.items() if n)

    def with_digests(self) -> "BuildCorpus":
        """The same with the digests of its files: a recipe then follows the bytes, not where they lie."""
        if self.digests or not self.files:
            return self
        return dataclasses.replace(
            self, digests=tuple(smiles_stream.file_digest(Path(file).expanduser()) for file in self.files)
        )

    def make(self, report: Report, labelled: Sequence[Dataset] = (), leave_out: Sequence[Dataset] = ()) -> Corpus:
        for path, wanted in zip(self.files, self.digests, strict=False):
            report.check()
            if smiles_stream.file_digest(Path(path).expanduser()) != wanted:
                raise BadInput(f"{path} has changed since this recipe was made; leave `digests` empty to take it as is")
        banned = excluded_keys(leave_out)
        folder = report.folder()
        blocks, counts = self.write_blocks(report.part(0, 0.9), folder, labelled, banned)
        report(0.9, "choosing the vocabulary")
        seen: Counter[str] = Counter()
        for block in blocks:
            report.check()
            for spelling in pd.read_parquet(block, columns=["spellings"])["spellings"]:
                seen.update(TOKEN_REGEX.findall("".join(spelling)))
        if not seen:
            raise BadInput(f"no molecule is left of {sum(counts.values()):,} lines ({counts}); give another file")
        vocabulary = build_vocabulary((), self.least, counted=seen)
        return self.corpus(report.part(0.92, 1), folder, blocks, vocabulary, labelled, banned, counts)

    def iterate_lines(self, labelled: Sequence[Dataset]) -> Iterator[str]:
        """Labelled molecules, then the files in order."""
        files = (smiles_stream.stream_smiles(Path(file).expanduser()) for file in self.files)
        yield from chain.from_iterable(table.smiles for table in labelled)
        yield from chain.from_iterable(islice(file, self.limit or None) for file in files)

    def write_blocks(
        self, report: Report, folder: Path, labelled: Sequence[Dataset], banned: set[str]
    ) -> tuple[list[Path], dict[str, int]]:
        """Parquet files of finished blocks, and what became of the lines. Goes on where it was interrupted."""
        from joblib import Parallel, delayed

        folder = folder / "blocks"
        folder.mkdir(parents=True, exist_ok=True)
        guess = sum(map(len, labelled)) + sum(
            _estimate_lines(Path(file).expanduser(), self.limit) for file in self.files
        )
        counts, seen, done, read = Counter(), set(), [], 0
        lines = self.iterate_lines(labelled)
        with Parallel(n_jobs=-1 if guess > CHUNK_MOLECULES else 1, return_as="generator") as workers:
            while block := list(islice(lines, BLOCK_LINES)):
                path = folder / f"{len(done):06d}.parquet"
                whole = path.with_suffix(".json")  # written last: a block with counts is whole
                if whole.is_file():
                    kept = json.loads(whole.read_text())
                    seen.update(hash_name(name) for name in pd.read_parquet(path, columns=["smiles"])["smiles"])
                else:
                    parts = [block[k : k + CHUNK_MOLECULES] for k in range(0, len(block), CHUNK_MOLECULES)]
                    kept = Counter()
                    fresh = []
                    for found in workers(
                        delayed(canonicalize_lines)(part, self.stereo, self.longest) for part in parts
                    ):
                        report.check("reading the corpus")
                        for name, flat in found:
                            what = flat if name is None else "left out" if flat in banned else None
                            what = what or ("repeated" if hash_name(name) in seen else "taken")
                            kept[what] += 1
                            if what == "taken":
                                seen.add(hash_name(name))
                                fresh.append((name, hash_name(flat)))
                    self.write_block(workers, report, fresh, path, read / guess, len(block) / guess)
                    whole.write_text(json.dumps(kept))
                counts.update(kept)
                read += len(block)
                done.append(path)
                taken = counts["taken"]
                report(min(read / guess, 1), f"{taken:,} molecules of {read:,} lines", molecules=taken)
        return done, dict(counts)

    def write_block(
        self, workers: Any, report: Report, fresh: list[tuple[str, int]], path: Path, start: float, share: float
    ) -> None:
        """Spellings and descriptors of new molecules, as one Parquet file."""
        from joblib import delayed

        parts = [fresh[k : k + CHUNK_MOLECULES] for k in range(0, len(fresh), CHUNK_MOLECULES)]
        spelled: list[list[str]] = []
        values = [np.empty((0, len(properties.descriptor_names(quick=True))), np.float32)]
        for done, found in enumerate(
            workers(
                delayed(describe_molecules)([name for name, _ in part], self.n_randomised_smiles, self.seed)
                for part in parts
            )
        ):
            spelled += found[0]
            values.append(found[1])
            report(min(start + share * done / len(parts), 1), f"describing {len(fresh):,} new molecules")
        frame = pd.DataFrame(np.concatenate(values), columns=list(properties.descriptor_names(quick=True)))
        frame.insert(0, "smiles", [name for name, _ in fresh])
        frame.insert(1, "key", np.array([number for _, number in fresh], np.uint64))
        frame.insert(2, "spellings", spelled)
        frame.to_parquet(path)

    def corpus(
        self,
        report: Report,
        folder: Path,
        blocks: list[Path],
        vocabulary: tuple[str, ...],
        labelled: Sequence[Dataset],
        banned: set[str],
        counts: dict[str, int],
    ) -> Corpus:
        """The blocks as one corpus."""
        molecules, arrays, scaling = build_arrays(report, folder, blocks, vocabulary, counts["taken"], self.seed)
        labels = collect_labels(molecules["smiles"], labelled, self.stereo)
        record = {
            "molecules": len(molecules),
            "lines": counts,
            "left_out": {"molecules": len(banned), "digest": digest_names(banned)},
            "files": [{"file": Path(f).name, "sha256": d} for f, d in zip(self.files, self.digests, strict=False)],
            "labelled": labels.tables,
            "stereo": self.stereo,
            "spellings": self.n_randomised_smiles,
            "vocabulary": len(vocabulary),
            "tokens": len(arrays["tokens"]),
            "unknown_tokens": int((arrays["tokens"] == vocabulary.index(UNK)).sum()),
            "digest": digest_names(molecules["smiles"]),
            "scaling": scaling.to_json(),
            "tasks": labels.tasks,
            "kinds": labels.kinds,
        }
        arrays |= {"labels": labels.values, "label_rows": labels.rows}
        return Corpus(molecules, vocabulary, arrays, record, folder)


def excluded_keys(tables: Sequence[Dataset]) -> set[str]:
    """Stereo-free names of all molecules that tables were given, those dropped for want of a good label too."""
    found = set()
    for table in tables:
        for smiles in table.source_smiles():
            with contextlib.suppress(BadInput):  # what is no molecule cannot be met
                found.add(chem.stereo_free_smiles(smiles))
    return found


def canonicalize_lines(lines: list[str], stereo: bool, longest: int) -> list[tuple[str | None, str]]:
    """(name, stereo-free name) of each line; (None, reason) of one that is not taken."""
    found: list[tuple[str | None, str]] = []
    for line in lines:
        try:
            flat = chem.stereo_free_smiles(line)
            name = chem.canonical_smiles(line) if stereo else flat
        except BadInput:
            found.append((None, "no molecule"))
            continue
        tokens = TOKEN_REGEX.findall(name)
        if len(tokens) + 2 > longest:
            found.append((None, "too long"))
        elif len("".join(tokens)) < len(name) or not tokens:
            found.append((None, "not in tokens"))
        else:
            found.append((name, flat))
    return found


def describe_molecules(names: list[str], spellings: int, seed: int) -> tuple[list[list[str]], np.ndarray]:
    """Spellings, the canonical one first, and quick descriptors of each molecule."""
    texts, values = [], []
    for name in names:
        molecule = chem.parse(name)
        texts.append([name, *chem.randomised_smiles(molecule, spellings - 1, seed ^ (hash_name(name) & 0x3FFFFFFF))])
        values.append(properties.descriptor_row(molecule, quick=True))
    return texts, np.stack(values)


def _estimate_lines(file: Path, limit: int) -> int:
    """About how many lines are read of a file: for the bar alone."""
    found = max(1, file.stat().st_size // (12 if file.suffix in (".gz", ".parquet") else 45))
    return min(found, limit) if limit else found
