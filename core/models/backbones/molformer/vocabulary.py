"""The vocabulary of SMILES: how a string is split into tokens, and which tokens a model has."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import product

from core.engine.spec import BadInput

# After Schwaller et al. (2018, doi:10.1039/C8SC02339E), exactly as in the published tokenizer.json.
TOKEN_PATTERN = r"(\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|\/|:|~|@|\?|>|\*|\$|\%[0-9]{2}|[0-9])"
TOKEN_REGEX = re.compile(TOKEN_PATTERN)
BOS, EOS, PAD, MASK, UNK = SPECIAL = ("<bos>", "<eos>", "<pad>", "<mask>", "<unk>")
SINGLE_TOKENS = (*"Cc()1ON2=n3FS4", "Cl", *"-os#/", "Br", *"5\\.I6PB7890pb+:@~*$?>")


def order_tokens(tokens: Iterable[str]) -> tuple[str, ...]:
    """A vocabulary in order of ids: `<bos> <eos> <pad> <mask>` are 0 to 3, `<unk>` is the last."""
    return (BOS, EOS, PAD, MASK, *tokens, UNK)


def build_vocabulary(
    smiles: Iterable[str], least: int = 1, most: int | None = None, counted: Mapping[str, int] | None = None
) -> tuple[str, ...]:
    """The vocabulary of a corpus, frequent tokens first; `counted`: token counts to add to those of `smiles`.

    It has every token of one letter or sign, and each bracket atom or ring number such as `%10` that occurs at least
    `least` times. `most` limits its size; the rarest are left out (`<unk>`). Raises `BadInput` without any token.
    """
    counts: Counter[str] = Counter(counted or {})
    for molecule in smiles:
        counts.update(TOKEN_REGEX.findall(molecule))
    if not counts:
        raise BadInput("the corpus has no SMILES token; give at least one molecule")
    longer = [token for token, count in counts.items() if token not in SINGLE_TOKENS and count >= least]
    longer.sort(key=lambda token: (-counts[token], token))
    limit = None if most is None else most - len(SINGLE_TOKENS) - len(SPECIAL)
    if limit is not None and limit < 0:
        raise BadInput(
            f"a vocabulary has at least {len(SINGLE_TOKENS) + len(SPECIAL)} tokens, `most` is {most}; raise it"
        )
    return order_tokens(sorted((*SINGLE_TOKENS, *longer[:limit]), key=lambda token: (-counts[token], token)))


def list_bracket_atoms() -> Iterator[str]:
    """Bracket atoms of drug-like molecules, reagents and salts, without isotopes; a few are repeated."""
    plain, sides, none, up_to_1, up_to_3 = ("",), ("@", "@@"), ("",), ("", "H"), ("", "H", "H2", "H3")
    both = ("", "+", "-")
    for symbols, marks, hydrogens, charges in (
        (("C",), sides, up_to_1, ("", "-")),
        (("N",), sides, up_to_1, ("", "+")),
        (("P",), sides, up_to_1, ("",)),
        (("P", "S", "Se"), sides, none, ("+",)),
        (("S",), sides, none, ("",)),
        (("Si",), sides, up_to_1, ("",)),
        (("B",), sides, none, ("-",)),
        (("C", "N"), plain, up_to_3, both),
        (("P",), plain, up_to_3, ("", "+")),
        (("B",), plain, up_to_3, ("", "-")),
        (("N",), plain, ("H4",), ("+",)),
        (("B",), plain, ("H4",), ("-",)),
        (("O", "S"), plain, up_to_1, both),
        (("O", "S"), plain, none, ("-2",)),
        (("O", "S"), plain, ("H2",), ("", "+")),
        (("O",), plain, ("H3",), ("+",)),
        (("Se",), plain, up_to_1, ("",)),
        (("Se",), plain, none, ("+", "-", "-2")),
        (("Si",), plain, (*up_to_3, "H4"), ("",)),
        (("Si",), plain, none, ("-", "-2")),
        (("As", "Sb", "Ge", "Sn", "Te"), plain, up_to_1, ("",)),
        (("P", "As", "Sb"), plain, none, ("-",)),
        (("As",), plain, none, ("+",)),
        (("c", "n"), plain, up_to_1, both),
        (("o", "s", "se"), plain, none, ("", "+")),
        (("b", "p"), plain, up_to_1, ("",)),
        (("te", "as"), plain, none, ("",)),
        (("F", "Cl", "Br", "I"), plain, none, both),
        (("F", "Cl", "Br", "I"), plain, ("H",), ("",)),
        (("Cl", "Br", "I"), plain, none, ("+3",)),
        (("H",), plain, none, both),
        (("He", "Ne", "Ar", "Kr", "Xe"), plain, none, ("",)),
        (("Li", "Na", "K", "Ag", "Cu"), plain, none, ("", "+")),
        (("Rb", "Cs", "Tl"), plain, none, ("+",)),
        (("Mg", "Ca", "Zn", "Hg", "Fe", "Co", "Ni", "Mn", "Cu", "Pd", "Pt", "Pb", "Sn"), plain, none, ("", "+2")),
        (("Be", "Sr", "Ba", "Ra", "Cd"), plain, none, ("+2",)),
        (("Al", "Bi", "Fe", "Cr", "Co", "Au"), plain, none, ("", "+3")),
        (("Ga", "In", "La", "Gd"), plain, none, ("+3",)),
        (("Sn", "Pt"), plain, none, ("+4",)),
        (("Ru", "Rh", "Ir", "Re", "Tc", "Mo", "W", "V", "Ti", "Zr"), plain, none, ("",)),
    ):
        for symbol, mark, hydrogen, charge in product(symbols, marks, hydrogens, charges):
            yield f"[{symbol}{mark}{hydrogen}{charge}]"


# The vocabulary of models without a corpus. Its order is part of every `Untrained` model: append, never reorder.
FIXED_VOCABULARY = order_tokens(
    dict.fromkeys((*SINGLE_TOKENS, *list_bracket_atoms(), *(f"%{number}" for number in range(10, 30))))
)
