"""BuildCorpus: unique molecules of SMILES files of any size, tokenised and with descriptors, for pre-training."""

import contextlib
import dataclasses
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
from core.engine.digests import digest_file, find_change, read_sealed_json, write_sealed_json
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.models.backbones.molformer.vocabulary import TOKEN_REGEX, UNK, build_vocabulary
from core.training.corpus_arrays import build_arrays, collect_labels, digest_names

BLOCK_LINES = 16_384  # lines of a file that are processed and saved together
CHUNK_MOLECULES = 256  # molecules in a task of a process


@settings
class BuildCorpus(Spec[Corpus]):
    """Read SMILES files line by line, exclude molecules that must stay unseen, and store each molecule once.

    Each molecule has `n_randomised_smiles` SMILES (canonical, then random orders of its atoms; Bjerrum 2017, arXiv
    1703.07076) and RDKit's quick 2D descriptors. Labelled tables add their molecules and labels. Descriptors take 3 ms
    a molecule and are computed on all cores. Memory grows by 100 bytes a molecule; everything else is on disk.
    """

    kind: ClassVar[str] = "build-corpus"
    revision: ClassVar[int] = 4
    effort: ClassVar[float] = 20.0

    files: tuple[str, ...] = Field(default=(), description="paths of SMILES files: smi, txt, csv, tsv (.gz), parquet")
    labelled: tuple[Spec[Dataset], ...] = Field(default=(), description="tables whose molecules and labels are added")
    leave_out: tuple[Spec[Dataset], ...] = Field(
        default=(), description="tables whose molecules, labelled or not, are excluded with their stereoisomers"
    )
    stereo: bool = Field(default=True, description="keep stereochemistry; otherwise stereoisomers become one molecule")
    n_randomised_smiles: int = Field(
        default=3, ge=1, le=32, description="SMILES stored for each molecule: the canonical one, then randomised ones"
    )
    longest: int = Field(
        default=128, ge=8, le=2000, description="maximum number of tokens; longer molecules are left out"
    )
    least: int = Field(
        default=10, ge=1, description="occurrences a bracket atom needs to become a token of the vocabulary"
    )
    limit: int = Field(default=0, ge=0, description="lines to read of each file; 0: all")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the randomised SMILES")
    digests: tuple[str, ...] = Field(default=(), description="SHA-256 of the files; set when the spec is submitted")

    def __post_init__(self) -> None:
        if not self.files and not self.labelled:
            raise BadInput("a corpus wants at least one file in `files` or one table in `labelled`")
        for file in self.files:
            smiles_stream.stream_kind(Path(file))  # an unknown format fails now, not after the files before it
        if self.digests and len(self.digests) != len(self.files):
            raise BadInput(f"{len(self.digests)} digests for {len(self.files)} files; leave `digests` empty")

    @property
    def title(self) -> str:
        parts = {"file": len(self.files), "labelled table": len(self.labelled)}
        return "corpus of " + " and ".join(f"{n} {noun}{'s' * (n > 1)}" for noun, n in parts.items() if n)

    def with_digests(self) -> "BuildCorpus":
        """The same with the digests of its files, so that its key follows their content, not their path."""
        if self.digests or not self.files:
            return self
        return dataclasses.replace(
            self, digests=tuple(smiles_stream.file_digest(Path(file).expanduser()) for file in self.files)
        )

    def make(self, report: Report, labelled: Sequence[Dataset] = (), leave_out: Sequence[Dataset] = ()) -> Corpus:
        for path, digest in zip(self.files, self.digests, strict=False):
            report.check()
            if smiles_stream.file_digest(Path(path).expanduser()) != digest:
                raise BadInput(
                    f"{path} has changed since this spec was made; leave `digests` empty to read the new content"
                )
        excluded = collect_excluded_keys(leave_out)
        folder = report.folder()
        blocks, counts = self.write_blocks(report.part(0, 0.9), folder, labelled, excluded)
        report(0.9, "building the vocabulary")
        token_counts: Counter[str] = Counter()
        for block in blocks:
            report.check()
            for texts in pd.read_parquet(block, columns=["spellings"])["spellings"]:
                token_counts.update(TOKEN_REGEX.findall("".join(texts)))
        if not token_counts:
            raise BadInput(f"no molecule is left of {sum(counts.values()):,} lines ({counts}); give another file")
        vocabulary = build_vocabulary((), self.least, counted=token_counts)
        return self.assemble(report.part(0.92, 1), folder, blocks, vocabulary, labelled, excluded, counts)

    def iterate_lines(self, labelled: Sequence[Dataset]) -> Iterator[str]:
        """SMILES of the labelled tables, then of the files in order."""
        files = (smiles_stream.stream_smiles(Path(file).expanduser()) for file in self.files)
        yield from chain.from_iterable(table.smiles for table in labelled)
        yield from chain.from_iterable(islice(file, self.limit or None) for file in files)

    def write_blocks(
        self, report: Report, folder: Path, labelled: Sequence[Dataset], excluded: set[str]
    ) -> tuple[list[Path], dict[str, int]]:
        """Write blocks of molecules; returns their files and the lines by outcome. Resumes where it stopped."""
        from joblib import Parallel, delayed

        folder = folder / "blocks"
        folder.mkdir(parents=True, exist_ok=True)
        n_lines = sum(map(len, labelled)) + sum(
            _estimate_lines(Path(file).expanduser(), self.limit) for file in self.files
        )
        counts, known_hashes, paths, read = Counter(), set(), [], 0
        lines = self.iterate_lines(labelled)
        with Parallel(n_jobs=-1 if n_lines > CHUNK_MOLECULES else 1, return_as="generator") as workers:
            while block := list(islice(lines, BLOCK_LINES)):
                path = folder / f"{len(paths):06d}.parquet"
                counts_file = path.with_suffix(".json")  # written last, so a block with counts is complete
                if (block_counts := self.read_block_counts(path)) is not None:
                    known_hashes.update(hash_name(name) for name in pd.read_parquet(path, columns=["smiles"])["smiles"])
                else:
                    parts = [block[k : k + CHUNK_MOLECULES] for k in range(0, len(block), CHUNK_MOLECULES)]
                    block_counts = Counter()
                    new_molecules = []
                    for names in workers(
                        delayed(canonicalize_lines)(part, self.stereo, self.longest) for part in parts
                    ):
                        report.check("reading the corpus")
                        for name, flat in names:
                            outcome = flat if name is None else "left out" if flat in excluded else None
                            outcome = outcome or ("repeated" if hash_name(name) in known_hashes else "taken")
                            block_counts[outcome] += 1
                            if outcome == "taken":
                                known_hashes.add(hash_name(name))
                                new_molecules.append((name, hash_name(flat)))
                    self.write_block(workers, report, new_molecules, path, read / n_lines, len(block) / n_lines)
                    write_sealed_json(counts_file, {"counts": block_counts, "digests": {path.name: digest_file(path)}})
                counts.update(block_counts)
                read += len(block)
                paths.append(path)
                n_molecules = counts["taken"]
                report(min(read / n_lines, 1), f"{n_molecules:,} molecules of {read:,} lines", molecules=n_molecules)
        return paths, dict(counts)

    def read_block_counts(self, path: Path) -> dict[str, int] | None:
        """Lines by outcome of a finished block; None where there is none, or a file of it was changed."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            note = read_sealed_json(path.with_suffix(".json").read_bytes())
            counts: dict[str, int] = note["counts"]
            return None if find_change(path.parent, note["digests"]) else counts
        return None

    def write_block(
        self, workers: Any, report: Report, new_molecules: list[tuple[str, int]], path: Path, start: float, share: float
    ) -> None:
        """Write SMILES and descriptors of new molecules (name, hash of the stereo-free name) into one Parquet file."""
        from joblib import delayed

        parts = [new_molecules[k : k + CHUNK_MOLECULES] for k in range(0, len(new_molecules), CHUNK_MOLECULES)]
        texts: list[list[str]] = []
        values = [np.empty((0, len(properties.descriptor_names(quick=True))), np.float32)]
        for done, results in enumerate(
            workers(
                delayed(describe_molecules)([name for name, _ in part], self.n_randomised_smiles, self.seed)
                for part in parts
            )
        ):
            texts += results[0]
            values.append(results[1])
            report(
                min(start + share * done / len(parts), 1),
                f"computing descriptors of {len(new_molecules):,} new molecules",
            )
        frame = pd.DataFrame(np.concatenate(values), columns=list(properties.descriptor_names(quick=True)))
        frame.insert(0, "smiles", [name for name, _ in new_molecules])
        frame.insert(1, "key", np.array([number for _, number in new_molecules], np.uint64))
        frame.insert(2, "spellings", texts)
        frame.to_parquet(path)

    def assemble(
        self,
        report: Report,
        folder: Path,
        blocks: list[Path],
        vocabulary: tuple[str, ...],
        labelled: Sequence[Dataset],
        excluded: set[str],
        counts: dict[str, int],
    ) -> Corpus:
        """Join the blocks into one corpus."""
        molecules, arrays, scaling = build_arrays(report, folder, blocks, vocabulary, counts["taken"], self.seed)
        labels = collect_labels(molecules["smiles"], labelled, self.stereo)
        record = {
            "molecules": len(molecules),
            "lines": counts,
            "left_out": {"molecules": len(excluded), "digest": digest_names(excluded)},
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


def collect_excluded_keys(tables: Sequence[Dataset]) -> set[str]:
    """Stereo-free SMILES of all molecules in the source of the tables, including those dropped for a missing label."""
    keys = set()
    for table in tables:
        for smiles in table.source_smiles():
            with contextlib.suppress(BadInput):  # an invalid SMILES matches no molecule
                keys.add(chem.stereo_free_smiles(smiles))
    return keys


def canonicalize_lines(lines: list[str], stereo: bool, longest: int) -> list[tuple[str | None, str]]:
    """(canonical SMILES, stereo-free SMILES) of each line; (None, reason) for a line that is left out."""
    names: list[tuple[str | None, str]] = []
    for line in lines:
        try:
            flat = chem.stereo_free_smiles(line)
            name = chem.canonical_smiles(line) if stereo else flat
        except BadInput:
            names.append((None, "no molecule"))
            continue
        tokens = TOKEN_REGEX.findall(name)
        if len(tokens) + 2 > longest:
            names.append((None, "too long"))
        elif len("".join(tokens)) < len(name) or not tokens:
            names.append((None, "not in tokens"))
        else:
            names.append((name, flat))
    return names


def describe_molecules(names: list[str], n_smiles: int, seed: int) -> tuple[list[list[str]], np.ndarray]:
    """`n_smiles` SMILES of each molecule, the canonical one first, and quick descriptors (molecules, descriptors)."""
    texts, values = [], []
    for name in names:
        molecule = chem.parse(name)
        texts.append([name, *chem.randomised_smiles(molecule, n_smiles - 1, seed ^ (hash_name(name) & 0x3FFFFFFF))])
        values.append(properties.descriptor_row(molecule, quick=True))
    return texts, np.stack(values)


def _estimate_lines(file: Path, limit: int) -> int:
    """Estimate of the lines that are read of a file, for the progress bar alone."""
    estimate = max(1, file.stat().st_size // (12 if file.suffix in (".gz", ".parquet") else 45))
    return min(estimate, limit) if limit else estimate
