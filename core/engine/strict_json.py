"""JSON of specs, read strictly: what could be read in two ways, or is too large to be meant, is refused in one line."""

import json
import re
from collections import Counter
from typing import Any

MAX_CHARACTERS = 16_000_000  # of a document
MAX_DEPTH = 100  # levels of a document; Python's own limit is near 170 nested specs
MAX_TEXT = 100_000  # characters of one text
MAX_ITEMS = 10_000  # of one list
MAX_DIGITS = 100  # of one integer

STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # possessive: linear for an unfinished one too


class NotStrict(ValueError):
    """Why a document or a value is refused, as one line."""


def load_strict_json(text: str) -> Any:
    """The value of a JSON document. Raises `NotStrict`, also for a key that occurs twice in one object.

    NaN, infinities, long texts and long lists are left to the fields (`core.engine.spec`), which know their place.
    """
    if len(text) > MAX_CHARACTERS:
        raise NotStrict(f"the JSON has {len(text):,} characters, the limit is {MAX_CHARACTERS:,}")
    if (depth := _measure_depth(text)) > MAX_DEPTH:
        raise NotStrict(f"the spec is nested {depth} levels deep, the limit is {MAX_DEPTH}; run its inner specs first")
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_parse_integer)
    except json.JSONDecodeError as error:
        raise NotStrict(f"this is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None


def _measure_depth(text: str) -> int:
    deepest = depth = 0
    for mark in re.findall(r"[\[{\]}]", STRING.sub("", text)):
        depth += 1 if mark in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise NotStrict(f"the key {twice!r:.80} occurs twice in one object; remove one of them")
    return value


def _parse_integer(text: str) -> int:
    if len(digits := text.lstrip("-")) > MAX_DIGITS:
        raise NotStrict(f"the integer {text:.20}… has {len(digits):,} digits, the limit is {MAX_DIGITS}")
    return int(text)


def check_text(text: str) -> None:
    """Raise `NotStrict` for a text that is too long or contains half a character."""
    if len(text) > MAX_TEXT:
        raise NotStrict(f"the text {text[:40]!r}… has {len(text):,} characters, the limit is {MAX_TEXT:,}")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise NotStrict(f"{text!r:.80} contains half a character (a lone surrogate); retype it")


def check_integer(number: int) -> int:
    """The number. Raises `NotStrict` if it has too many digits."""
    if abs(number) >= 10**MAX_DIGITS:
        raise NotStrict(f"an integer has more than {MAX_DIGITS} digits")
    return number


def check_items(count: int) -> None:
    """Raise `NotStrict` for a list that is too long."""
    if count > MAX_ITEMS:
        raise NotStrict(f"a list has {count:,} items, the limit is {MAX_ITEMS:,}")
