"""Former names of spec kinds and fields, so that specs and runs of earlier versions can be read.

A former name is looked up only where a name is unknown. A spec read by former names has another key than the folder of
its run. Such a run is listed with its title and its spec can be run again. Its product is not read, since columns and
records have new names too; the error lists the new names.
"""

from collections.abc import Container, Iterator, Mapping
from typing import Any

# Lines `former → current`. Text, not a dict: renaming string literals must not touch the former names.
_KINDS = """
join → concat
excerpt → file-sample
plant → label-noise
part → split
few → subsample
computed → computed-labels
landscape → projection
mean-influence → seed-average
suspects → label-errors
retrain → subset-retraining
verify → lds
member → mixture-table
trunk-head → multitask-head
represent → representation
tune → learning-rate-search
gather → build-corpus
identity → gradient-similarity
varied → mmr
cover → coverage
mend → corrected-table
fresh → untrained-molformer
"""
_FIELDS = """
spellings → n_randomised_smiles
margin → clip_margin
averaging → ema_decay
head_rate → head_lr_multiplier
warm_up → warmup
learner → baseline
learners → baselines
waves → coefficients
way → method
anew → retrain_backbones
beginning → backbone
as_long_as → step_reference
tube → epsilon
until → unfrozen_by
trunks → backbones
trunk → multitask_model
"""


def _table(text: str) -> dict[str, str]:
    return dict(line.split(" → ") for line in text.split("\n") if line)


FORMER_KINDS = _table(_KINDS)  # of specs and of members of families
FORMER_FIELDS = _table(_FIELDS)  # of both; used for a class that has the current name and lacks the former one


# Removed fields with their former defaults: dropped where they have this value. `ridge` of a selection study is now
# the `damping` of its greedy arm.
_GONE = {"ridge": 20.0}


def current_kind(kind: Any, kinds: Container[str]) -> Any:
    """The current name of a kind among `kinds`; unchanged if it is known or has no other name."""
    new = FORMER_KINDS.get(kind) if isinstance(kind, str) and kind not in kinds else None
    return new if new in kinds else kind


def current_fields(fields: Mapping[str, Any], known: Container[str]) -> dict[str, Any]:
    """Fields by their current names in a class; unknown names are unchanged."""

    def name_of(name: str) -> str:
        new = name if name in known else FORMER_FIELDS.get(name, name)
        return new if new in known and new not in fields else name

    left_out = {name for name, default in _GONE.items() if name not in known and fields.get(name) == default}
    return {name_of(name): value for name, value in fields.items() if name not in left_out}


def list_renames(former: Any, current: Any) -> list[str]:
    """Renamed kinds and fields of a spec's JSON, each once: "'plant' is called 'label-noise' now"."""
    return list(dict.fromkeys(f"{old!r} is called {new!r} now" for old, new in _pairs(former, current)))


def _pairs(former: Any, current: Any) -> Iterator[tuple[str, str]]:
    if isinstance(former, list) and isinstance(current, list):
        for old, new in zip(former, current, strict=False):
            yield from _pairs(old, new)
    if not isinstance(former, Mapping) or not isinstance(current, Mapping):
        return
    old, new = former.get("kind"), current.get("kind")
    if old != new and isinstance(old, str):
        yield old, str(new)
    for name, value in current_fields(former, current).items():
        if name not in former:
            yield next(old for old in former if FORMER_FIELDS.get(old) == name), name
        yield from _pairs(value, current.get(name))
