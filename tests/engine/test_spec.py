"""Specs: JSON round trip, keys, and errors with their place."""

import json
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import Field

from core.engine import spec as specs
from core.engine.form import describe_fields
from core.engine.spec import BadInput, Family, Spec, settings


class Table:
    pass


class Picture:
    pass


@settings
class Slow:
    """A member."""

    kind: ClassVar[str] = "slow"
    pace: int = Field(default=3, ge=1, le=9, description="steps a second")


PACES = Family("pace", Slow)


@settings
class Source(Spec[Table]):
    """A leaf."""

    kind: ClassVar[str] = "test-source"
    name: str = Field(description="where from")


@settings
class Pile(Spec[Table]):
    """Several parts."""

    kind: ClassVar[str] = "test-pile"
    tables: tuple[Spec[Table], ...]


@settings
class Frame(Spec[Picture]):
    """A spec with every sort of field."""

    kind: ClassVar[str] = "test-frame"
    table: Spec[Table]
    pace: Annotated[Any, PACES] = Field(default=Slow(), description="how fast")
    share: float | None = Field(default=None, gt=0, le=1)
    under: Spec[Picture] | None = None


def test_json_round_trip_keeps_spec_and_key() -> None:
    frame = Frame(Pile((Source("a"), Source("ü"))), Slow(5), 0.5)
    again = specs.read_spec_json(frame.text)
    assert again == frame and again.key == frame.key and len(frame.key) == 16
    assert specs.read_spec_json(json.dumps(json.loads(frame.text), indent=3)).key == frame.key


def test_key_depends_on_every_field_and_the_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {
        Frame(Source("a")).key,
        Frame(Source("b")).key,
        Frame(Source("a"), Slow(4)).key,
        Frame(Source("a"), share=0.1).key,
    }
    assert len(keys) == 4
    monkeypatch.setattr(Source, "revision", 2)
    assert Frame(Source("a")).key not in keys


def test_parts_are_the_specs_in_the_fields() -> None:
    inner = Frame(Source("a"))
    assert Frame(Source("b"), under=inner).parts() == {"table": Source("b"), "under": inner}
    assert Pile((Source("a"), Source("b"))).parts() == {"tables": (Source("a"), Source("b"))}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON: "),
        ('{"kind": "frame"}', "there is no spec kind 'frame'"),
        ("[1]", "is an object with a `kind`"),
        ('{"kind": "test-frame"}', "test-frame.table: is missing"),
        ('{"kind": "test-frame", "table": {"kind": "test-source", "name": 3}}', "valid string; got 3"),
        ('{"kind": "test-frame", "table": {"kind": "test-source", "name": "a", "nmae": 1}}', "nmae: is not a field"),
        (
            '{"kind": "test-frame", "table": {"kind": "test-source", "name": "a"}, "share": 2}',
            "test-frame.share: input should be less",
        ),
        ('{"kind": "test-frame", "table": {"kind": "test-source", "name": "a"}, "share": NaN}', "finite number"),
        (
            '{"kind": "test-frame", "table": {"kind": "test-source", "name": "a"}, "pace": "fast"}',
            "no pace of kind 'fast'; there are slow",
        ),
        (
            '{"kind": "test-frame", "table": {"kind": "test-source", "name": "a"}, "pace": {"kind": "slow", "pace": 0}}',
            "slow.pace",
        ),
        ('{"kind": "test-frame", "table": {"kind": "test-frame", "table": 1}}', "is an object"),
        (
            '{"kind": "test-frame", "table": {"kind": "test-source", "name": "a", "revision": 7}}',
            "revision 7, this version makes 1",
        ),
        (
            '{"kind": "test-pile", "tables": [{"kind": "test-frame", "table": {"kind": "test-source", "name": "a"}}]}',
            "yields a Table; 'test-frame' yields a Picture",
        ),
    ],
)
def test_errors_are_one_line_with_the_place(text: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        specs.read_spec_json(text)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_spec_is_frozen() -> None:
    with pytest.raises(Exception, match="cannot assign"):
        Source("a").name = "b"


def test_map_specs_rebuilds_only_changes() -> None:
    def renamed(spec: Spec) -> Spec:
        return Source("z") if spec == Source("a") else spec

    frame = Frame(Pile((Source("a"), Source("b"))), Slow(5))
    assert specs.map_specs(frame, renamed) == Frame(Pile((Source("z"), Source("b"))), Slow(5))
    assert specs.map_specs(frame, lambda spec: spec) is frame


def test_form_fields_have_limits_defaults_and_families() -> None:
    fields = {field.name: field for field in describe_fields(Frame)}
    assert fields["table"].product is Table and fields["under"].product is Picture
    assert fields["pace"].family is PACES and fields["pace"].default == Slow()
    assert fields["share"].least == 0 and fields["share"].most == 1
    (pace,) = describe_fields(Slow)
    assert fields["table"].many is False and describe_fields(Pile)[0].many is True
    assert (pace.least, pace.most, pace.help, pace.default) == (1, 9, "steps a second", 3)


@settings
class Race(Spec[Picture]):
    """Several members."""

    kind: ClassVar[str] = "test-race"
    paces: tuple[Annotated[Any, PACES], ...] = Field(default=(Slow(),), description="who runs")


def test_tuple_of_members_is_described_validated_and_read() -> None:
    (field,) = describe_fields(Race)
    assert field.family is PACES and field.many and field.default == (Slow(),)
    race = Race((Slow(2), {"kind": "slow", "pace": 4}, "slow"))
    assert race.paces == (Slow(2), Slow(4), Slow()) and specs.read_spec_json(race.text) == race
    assert specs.to_json(race)["paces"][1] == {"kind": "slow", "pace": 4}
    assert specs.read_spec_json('{"kind": "test-race", "paces": []}').paces == ()
    with pytest.raises(BadInput, match=r"test-race\.paces\.1: there is no pace of kind 'fast'; there are slow"):
        Race(paces=("slow", "fast"))


def test_family_with_a_product_accepts_specs() -> None:
    either = Family("start", Slow, product=Table)
    assert either.read(Source("a")) == Source("a")
    assert either.read({"kind": "test-source", "name": "a"}) == Source("a")
    with pytest.raises(BadInput, match="yields a Table"):
        either.read(Frame(Source("a")))
