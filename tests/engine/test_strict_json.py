"""JSON of specs: nothing that could be meant otherwise, nothing without bounds, one line each."""

import json

import numpy as np
import pytest

from core.engine import strict_json
from core.engine.spec import BadInput, read_spec_json
from tests.engine.test_spec import Frame, Pile, Slow, Source

TABLE = '{"kind": "test-source", "name": "a"}'


def source(name: str) -> str:
    return f'{{"kind": "test-source", "name": {name}}}'


def frame(field: str) -> str:
    return f'{{"kind": "test-frame", "table": {TABLE}, {field}}}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"kind": "test-source", "name": "a", "name": "b"}', "the key 'name' occurs twice"),
        ('{"kind": "test-source", "kind": "test-source", "name": "b"}', "the key 'kind' occurs twice"),
        (frame('"share": 0.5, "share": 0.5'), "the key 'share' occurs twice"),
        (frame('"pace": {"kind": "slow", "pace": 1, "pace": 2}'), "the key 'pace' occurs twice"),
        (frame('"pace": {"kind": "slow", "pace": "4"}'), "valid integer; got '4'"),
        (frame('"pace": {"kind": "slow", "pace": true}'), "valid integer; got True"),
        (frame('"pace": {"kind": "slow", "pace": 4.0}'), "valid integer; got 4.0"),
        (frame('"pace": {"kind": "slow", "pace": 4e0}'), "valid integer; got 4.0"),
        (frame('"share": "0.5"'), "valid number; got '0.5'"),
        (frame('"share": true'), "valid number; got True"),
        (frame('"share": NaN'), "test-frame.share: input should be a finite number; got nan"),
        (frame('"share": -Infinity'), "finite number; got -inf"),
        (frame('"share": 1e999'), "finite number; got inf"),
        (frame(f'"share": {"9" * 100_000}'), "has 100,000 digits, the limit is 100"),
        (frame(f'"share": -{10**100}'), "has 101 digits"),
        (source('"' + "m" * 10_000_000 + '"'), "test-source.name: the text 'mmm"),
        (source('"\\ud800"'), "half a character"),
        (
            '{"kind": "test-source", "name": "a", "\\udfff": 1}',
            "unable to parse raw data as a unicode string; got '\\udfff'",
        ),
        ('{"kind": "\\udfff"}', "there is no spec kind '\\udfff'"),
        (
            f'{{"kind": "test-pile", "tables": {json.dumps(["a"] * 1_000_000)}}}',
            "tables: a list has 1,000,000 items, the limit is 10,000",
        ),
        ('{"kind": "test-pile", "tables": "a"}', "should be a list; got 'a'"),
        ("[" * 100_000, "nested 100000 levels deep"),
        ('"' + '\\"' * 1_000_000, "this is not JSON: Unterminated string"),
        ("[" * 120 + "]" * 120, "nested 120 levels deep, the limit is 100"),
        ('{"kind": ' * 5000, "nested 5000 levels deep"),
        ('{"kind": "test-source", "name": "a", "revision": true}', "revision True, this version makes 1"),
        ('{"kind": "test-source", "name": "a", "revision": 1.0}', "revision 1.0, this version makes 1"),
        ('{"kind": "%s"}' % ("k" * 90_000), "there is no spec kind 'kkk"),
        ('{"kind": "test-source", "name": "a", "%s": 1}' % ("k" * 90_000), "kkk: is not a field"),
        (" " * 20_000_000, "the JSON has 20,000,000 characters"),
        ("", "this is not JSON"),
        (f"{TABLE} {TABLE}", "this is not JSON: Extra data"),
    ],
    ids=lambda value: value[:40] if len(value) < 200 else None,
)
def test_what_is_not_strict_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_spec_json(text)
    line = str(caught.value)
    assert words in line and "\n" not in line and len(line) < 500


def test_many_faults_are_counted() -> None:
    with pytest.raises(BadInput, match=r"test-source\.x4: is not a field of this spec; and 95 more$"):
        Source(name="a", **{f"x{n}": 1 for n in range(100)})


def test_a_whole_number_is_a_float_and_has_the_same_key() -> None:
    one, other = (read_spec_json(frame(f'"share": {share}')) for share in ("1", "1.0"))
    assert one == other == Frame(Source("a"), share=1.0) and one.key == other.key
    assert type(one.share) is float


@pytest.mark.parametrize("number", [np.int64(5), np.int8(5), np.uint32(5)])
def test_integers_of_numpy_are_integers(number: np.integer) -> None:
    assert Slow(number) == Slow(5) and type(Slow(number).pace) is int


def test_numbers_of_numpy_and_lists_become_plain() -> None:
    spec = Frame(Pile([Source("a")]), Slow(), np.float32(0.5))
    assert spec.key == Frame(Pile((Source("a"),)), Slow(), 0.5).key
    with pytest.raises(BadInput, match="valid integer; got True"):
        Slow(True)
    with pytest.raises(BadInput, match="more than 100 digits"):
        Slow(10**100)
    with pytest.raises(BadInput, match="valid integer"):
        Slow(5.0)


def test_limits_admit_what_is_at_them() -> None:
    assert strict_json.load_strict_json("[" * 100 + "]" * 100)
    assert strict_json.load_strict_json("9" * 100) == 10**100 - 1
    assert strict_json.load_strict_json('{"": {"": 1e308}, "[": "[\\"["}') == {"": {"": 1e308}, "[": '["['}
    assert Source("a" * strict_json.MAX_TEXT) and Pile((Source("a"),) * strict_json.MAX_ITEMS)
    with pytest.raises(BadInput, match="100,001 characters"):
        Source("a" * (strict_json.MAX_TEXT + 1))
    with pytest.raises(BadInput, match="10,001 items"):
        Pile((Source("a"),) * (strict_json.MAX_ITEMS + 1))
