"""Files of tables: supported suffixes, a stored copy by digest, unpacking, decoding."""

import codecs
import gzip
import hashlib
import io
import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from core.engine.files import raise_if_disk_full
from core.engine.spec import BadInput

MAX_BYTES = 200_000_000  # of a file, and of its content if gzipped
MAX_ROWS = 2_000_000
MAX_COLUMNS = 5_000
PEEK_BYTES = 1_000_000
BLOCK = 1_000_000  # bytes of a text table read at a time
ENCODING_BYTES = 2000  # bytes from which the encoding is guessed

KINDS = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".txt"), "csv"),
    **dict.fromkeys((".smi", ".smiles", ".ism"), "smi"),
    **dict.fromkeys((".sdf", ".sd"), "sdf"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".xlsx", ".xlsm"), "workbook"),
}
SHEET = re.compile(r"(.*?\.xls[xm])#(.*)", re.IGNORECASE | re.DOTALL)
EXCEL = (".xls", ".xlsb", ".ods")  # workbooks that are not supported
ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz", ".zst")
MAGIC = {
    b"PK\x03\x04": ".zip",
    b"7z\xbc\xaf": ".7z",
    b"Rar!": ".rar",
    b"BZh": ".bz2",
    b"\xfd7zXZ": ".xz",
    b"\x28\xb5\x2f\xfd": ".zst",
    b"\xd0\xcf\x11\xe0": ".xls",
}


def table_suffix(name: str) -> str:
    """The suffix that selects the reader, such as `.csv.gz`. Raises `BadInput` for one that is not supported."""
    lower = split_sheet(name)[0].name.lower()
    bare = lower.removesuffix(".gz")
    suffix = Path(bare).suffix
    if suffix in EXCEL or suffix in ARCHIVES:
        raise _unsupported_format(name, suffix)
    if suffix not in KINDS or (bare != lower and KINDS[suffix] in ("parquet", "workbook")):
        raise BadInput(f"{name!r} is no supported table; its name should end in one of {' '.join(KINDS)}")
    return suffix + lower.removeprefix(bare)


def split_sheet(name: Path | str) -> tuple[Path, str]:
    """The file and the sheet of `book.xlsx#sheet`; "" for no sheet."""
    match = SHEET.fullmatch(str(name))
    return (Path(match[1]), match[2]) if match else (Path(name), "")


def import_file(source: Path | str | bytes, name: str, files: Path) -> tuple[str, str]:
    """Store a copy as `files`/<sha256><suffix of `name`>, mode 0600, atomically; returns display name and sha256.

    `source` is a path or the bytes of the file; a sheet after `#` stays part of the name. An existing copy of the same
    bytes is not written again. Raises `BadInput`.
    """
    suffix = table_suffix(name)
    if isinstance(source, bytes):
        data = source
    else:
        source = split_sheet(source)[0]
        if not source.is_file():
            raise BadInput(f"there is no file {str(source)!r}; check the path")
        check_size(source)
        try:
            data = source.read_bytes()
        except PermissionError:
            raise BadInput(f"the file {str(source)!r} cannot be read; change its permissions or copy it") from None
    if len(data) > MAX_BYTES:
        raise _too_large(name, len(data))
    if not data:
        raise BadInput(f"{name!r} is empty (0 bytes); it needs a table")
    digest = hashlib.sha256(data).hexdigest()
    with raise_if_disk_full(files):
        _store_copy(data, files / (digest + suffix))
    return display_name(name), digest


def _store_copy(data: bytes, copy: Path) -> None:
    """Write a file of mode 0600 atomically, unless it exists."""
    copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not copy.is_file():
        handle, draft = tempfile.mkstemp(dir=copy.parent, prefix=".draft-")  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, copy)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise


def display_name(name: str) -> str:
    """The name of a file to show: no folders, only printable characters, at most 100 of them."""
    if match := SHEET.fullmatch(name):
        return f"{display_name(match[1])}#{_printable(match[2])[:100]}"
    bare = _printable(name.replace("\\", "/").rpartition("/")[2])
    return bare if len(bare) <= 100 else bare[:80] + "…" + bare[-19:]


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "_" for letter in name)


def check_size(path: Path) -> None:
    """Raises `BadInput` for a file of more than `MAX_BYTES`."""
    if path.stat().st_size > MAX_BYTES:
        raise _too_large(path.name, path.stat().st_size)


def read_blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a text table, gzipped or not, in blocks of 1 MB. Raises `BadInput` for archives and damage."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with (gzip.open if packed else open)(path, "rb") as file:
            data = file.read(BLOCK)
            for magic, suffix in MAGIC.items():  # whatever its suffix
                if data.startswith(magic):
                    raise _unsupported_format(path.name, ".xlsx" if b"xl/" in data else suffix)
            if data[257:262] == b"ustar":
                raise _unsupported_format(path.name, ".tar")
            while data:
                yield data
                data = file.read(BLOCK)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path.name!r} cannot be unpacked ({error}); the file is damaged: copy it again") from None


def unpack(path: Path, most: int | None = None) -> tuple[bytes, bool]:
    """The first `most` bytes of a text table, gzipped or not, by default all; and whether these are all."""
    limit = MAX_BYTES if most is None else most
    parts, size = [], 0
    for block in read_blocks(path):
        parts.append(block)
        size += len(block)
        if size > limit:
            break
    if most is None and size > limit:
        raise BadInput(f"{path.name!r} unpacks to more than {MAX_BYTES / 1e6:,.0f} MB; split it, or save it as Parquet")
    return b"".join(parts)[:limit], size <= limit


def decode_text(data: bytes, name: str, whole: bool) -> tuple[str, str]:
    """The text with `\\n` line ends, without a truncated last line, and the encoding. Raises `BadInput`."""
    if _is_blank(data):
        raise _empty(name)
    tries = _encodings(data)
    for encoding in tries:
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(data, final=whole)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = text if whole else text[: text.rfind("\n") + 1]
        if not text.strip() and whole:  # a byte-order mark alone
            raise _empty(name)
        if not text.strip():
            reason = f"begins with a line of more than {len(data):,} bytes, which is no header"
            raise BadInput(f"{name!r} {reason}; it needs a header line and rows")
        return text, encoding
    raise _not_text(name, tries)


def read_text_pieces(path: Path, encoding: str) -> Iterator[str]:
    """The text that `decode_text` returns for the full file, in pieces. Raises `UnicodeDecodeError`."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    for block in read_blocks(path):
        yield decoder.decode(block)
    yield decoder.decode(b"", final=True)


def detect_encoding(path: Path) -> str:
    """The encoding that `decode_text` detects, for a file of any length. Raises `BadInput`."""
    if all(map(_is_blank, read_blocks(path))):
        raise _empty(path.name)
    tries = _encodings(unpack(path, ENCODING_BYTES)[0])
    for encoding in tries:
        filled = False
        try:
            for text in read_text_pieces(path, encoding):
                if "\0" in text:
                    raise _not_text(path.name, tries)
                filled = filled or bool(text.strip())
        except UnicodeDecodeError:
            continue
        if not filled:
            raise _empty(path.name)
        return encoding
    raise _not_text(path.name, tries)


def _is_blank(data: bytes) -> bool:
    return not data.strip(b" \t\r\n\xef\xbb\xbf")


def _encodings(data: bytes) -> tuple[str, ...]:
    """Possible encodings of a text that begins with these bytes, the most likely first."""
    head = data[:ENCODING_BYTES]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if data.startswith(codecs.BOM_UTF8):
        return ("utf-8-sig",)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ("utf-16",)
    if max(even, odd) > len(head) / 4:
        return ("utf-16-le" if odd > even else "utf-16-be",)
    return ("utf-8", "cp1252", "latin-1")


def _empty(name: str) -> BadInput:
    return BadInput(f"{name!r} is empty; it needs a header line and rows")


def _not_text(name: str, tries: tuple[str, ...]) -> BadInput:
    return BadInput(f"{name!r} is not text (tried {', '.join(tries)}); save it as CSV in UTF-8")


def _unsupported_format(name: str, suffix: str) -> BadInput:
    """The error for a workbook or an archive, whatever its suffix."""
    if suffix == ".xlsx":
        return BadInput(f"{name!r} is a workbook with another suffix; rename it to .xlsx, or save its sheet as CSV")
    if suffix in EXCEL:
        return BadInput(f"{name!r} is a workbook in an unsupported format; save it as .xlsx, or its sheet as CSV")
    return BadInput(f"{name!r} is an archive ({suffix}), which is not supported; unpack it and use the table inside")


def _too_large(name: str, size: int) -> BadInput:
    return BadInput(
        f"{name!r} has {size / 1e6:,.0f} MB; up to {MAX_BYTES / 1e6:,.0f} are read: split it, or save it as Parquet"
    )
