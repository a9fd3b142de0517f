"""Which columns are chosen, and why; what is asked."""

import numpy as np
import pandas as pd
import pytest

from core.data.readers import decide_smiles, decide_targets, guess_targets
from core.engine.spec import BadInput

CHAINS = ["C" * n + "O" for n in range(1, 13)]


def table(**columns: list) -> pd.DataFrame:
    return pd.DataFrame({name.replace("_BLANK_", " "): values for name, values in columns.items()}, dtype=object)


@pytest.mark.parametrize(
    ("name", "order"),
    [("column 1", [2, 0, 1]), ("column 4", [1, 2, 3]), ("index", [3, 1, 2]), ("No", [1, 0, 2]), ("Nr.", [1, 2, 3])],
)
def test_row_number_is_no_label(name: str, order: list[int]) -> None:
    frame = pd.DataFrame({name: map(str, order), "smiles": ["CCO", "CCN", "CCC"], "melting_C": ["-114", "-81", "-126"]})
    columns = {column.name: column for column in decide_targets(frame, "smiles")}
    assert guess_targets(frame, "smiles") == ("melting_C",)
    assert not columns[name].chosen and ("row number" in columns[name].reason or "identifier" in columns[name].reason)


def test_named_whole_numbers_stay_labels_and_rising_ones_give_the_reason() -> None:
    frame = table(smiles=CHAINS[:4], carbons=["3", "1", "2", "4"])
    assert guess_targets(frame, "smiles") == ("carbons",)
    frame = table(smiles=CHAINS, boiling=[str(10 * k) for k in range(12)])
    (column,) = decide_targets(frame, "smiles")
    assert not column.chosen and "increase" in column.reason


@pytest.mark.parametrize("name", ["n_rep", "year", "MW", "TPSA", "sd", "batch", "HBD", "replicates"])
def test_columns_about_measurements_are_offered_not_chosen(name: str) -> None:
    frame = pd.DataFrame({"smiles": CHAINS, "bp": np.sin(range(12)), name: np.cos(range(12))})
    columns = {column.name: column for column in decide_targets(frame, "smiles")}
    assert columns["bp"].chosen and not columns[name].chosen and columns[name].reason.startswith("by its name")


def test_raw_values_beside_their_logarithm() -> None:
    raw = 10.0 ** np.sin(range(12))
    frame = pd.DataFrame({"smiles": CHAINS, "IC50": raw, "potency": 9 - np.log10(raw)})
    columns = {column.name: column for column in decide_targets(frame, "smiles")}
    assert columns["potency"].chosen and not columns["IC50"].chosen and "'potency'" in columns["IC50"].reason


@pytest.mark.parametrize(
    "names",
    [("solvent_smiles", "solute_smiles"), ("smiles", "partner_smiles"), ("mol_a", "mol_b"), ("SMILES_1", "SMILES_2")],
)
def test_two_columns_of_structures_are_asked_about(names: tuple[str, str]) -> None:
    frame = pd.DataFrame({names[0]: ["O", "CCCCO", "CC(C)O"] * 4, names[1]: CHAINS, "dG": range(12)}, dtype=object)
    decision = decide_smiles(frame)
    assert decision.undecided and decision.field == "smiles" and set(decision.options) == set(names)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("canonical_smiles", "isomeric_smiles"), ("canonical_smiles", "isomeric_smiles")),
        (("smiles", "scaffold_smiles"), ("smiles",)),
        (("raw_smiles", "smiles"), ("smiles",)),
    ],
)
def test_columns_of_one_structure_are_no_question(names: tuple[str, str], chosen: tuple[str, ...]) -> None:
    second = ["C1CCCCC1"] * 12 if "scaffold" in names[1] else CHAINS
    decision = decide_smiles(pd.DataFrame({names[0]: CHAINS, names[1]: second}, dtype=object))
    assert not decision.undecided and decision.value in chosen


def test_no_structures() -> None:
    with pytest.raises(BadInput, match="no column holds SMILES; the table has 'name'"):
        decide_smiles(pd.DataFrame({"name": ["water", "ethanol"]}))
