"""The tokenizer of MoLFormer: whole atoms and signs as words, and what a molecule would lose on the way."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from core.engine.spec import BadInput
from core.models.backbones.molformer.vocabulary import BOS, EOS, MASK, PAD, SPECIAL, TOKEN_PATTERN, TOKEN_REGEX, UNK

CACHED_MOLECULES = 100_000  # molecules whose ids are kept: a training reads the same ones in every epoch


@dataclass(frozen=True)
class TokenCheck:
    """How a SMILES arrives: characters that vanish, tokens that become `<unk>`, tokens in all."""

    dropped: str
    unknown: tuple[str, ...]
    length: int

    def sentences(self, longest: int) -> list[str]:
        """A sentence for each loss; `longest` is the number of tokens a model was made for."""
        found = []
        if self.dropped:
            found.append(f"the characters {self.dropped!r} are no SMILES tokens and vanish")
        if self.unknown:
            names = ", ".join(dict.fromkeys(self.unknown))
            found.append(f"{len(self.unknown)} of its tokens are not in the vocabulary and become {UNK}: {names}")
        if self.length > longest:
            found.append(f"it has {self.length} tokens, more than the {longest} of pre-training; it is read whole")
        return found


class TokenCache(dict[str, list[int]]):
    """Ids that were read before; a copy of the tokenizer begins anew."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "TokenCache":
        return TokenCache()


class MolformerTokenizer(PreTrainedTokenizerFast):
    """`<bos> tokens <eos>`; called as any tokenizer of transformers, it gives `input_ids` and `attention_mask`."""

    @classmethod
    def from_vocabulary(cls, vocabulary: Sequence[str]) -> "MolformerTokenizer":
        """From tokens in the order of their ids, special ones included (`core.models.backbones.molformer.vocabulary`)."""
        ids = {token: number for number, token in enumerate(vocabulary)}
        if len(ids) < len(vocabulary) or not ids.keys() >= set(SPECIAL):
            raise BadInput(f"a vocabulary wants each token once, {' '.join(SPECIAL)} among them")
        made = Tokenizer(models.WordLevel(ids, unk_token=UNK))
        pattern = Regex(TOKEN_PATTERN)
        made.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(pattern, "removed", invert=True), pre_tokenizers.Split(pattern, "isolated")]
        )
        made.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A {EOS}",
            pair=f"{BOS} $A {EOS} $B {EOS}",
            special_tokens=[(BOS, ids[BOS]), (EOS, ids[EOS])],
        )
        made.decoder = decoders.Fuse()
        made.add_special_tokens(list(SPECIAL))
        return cls.from_tokenizer(made)

    @classmethod
    def read(cls, path: Path) -> "MolformerTokenizer":
        """From a tokenizer.json, the hub's as it is. Raises `BadInput` for an absent, damaged or foreign one."""
        try:
            made = Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises bare `Exception`
            reason = "it is not there" if not path.is_file() else str(error).splitlines()[0]
            raise BadInput(f"{path} cannot be read ({reason}); put the model's own tokenizer.json there") from None
        known = made.get_vocab()
        if absent := [token for token in SPECIAL if token not in known]:
            raise BadInput(f"{path} lacks the tokens {' '.join(absent)}; it is not MoLFormer's, copy that one")
        return cls.from_tokenizer(made)

    @classmethod
    def from_tokenizer(cls, made: Tokenizer) -> "MolformerTokenizer":
        made.no_truncation()
        made.no_padding()
        return cls(
            tokenizer_object=made,
            bos_token=BOS,
            eos_token=EOS,
            cls_token=BOS,
            sep_token=EOS,
            pad_token=PAD,
            mask_token=MASK,
            unk_token=UNK,
            model_input_names=["input_ids", "attention_mask"],
            clean_up_tokenization_spaces=False,
        )

    def ids(self, smiles: Sequence[str]) -> list[list[int]]:
        """Token ids of each molecule, `<bos>` and `<eos>` with them; never cut, never padded. To be read only."""
        backend, kept = self.backend_tokenizer, self.__dict__.setdefault("kept", TokenCache())
        backend.no_truncation()  # an earlier call with `padding=True` leaves its setting behind
        backend.no_padding()
        try:
            new = [one for one in dict.fromkeys(smiles) if one not in kept]
            read = {one: encoding.ids for one, encoding in zip(new, backend.encode_batch_fast(new), strict=True)}
        except TypeError:
            wrong = next((value for value in smiles if not isinstance(value, str)), smiles)
            raise BadInput(f"a SMILES is text, got {wrong!r:.80}; drop the rows without one") from None
        rows = [read[one] if one in read else kept[one] for one in smiles]
        if len(kept) + len(read) > CACHED_MOLECULES:
            kept.clear()
        if len(read) <= CACHED_MOLECULES:
            kept.update(read)
        return rows

    def pad_batch(self, smiles: Sequence[str], multiple: int = 1) -> dict[str, np.ndarray]:
        """`input_ids` and `attention_mask` (n, longest), int64, padded on the right, up to a `multiple` of tokens."""
        rows = self.ids(smiles)
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        longest = -(-int(lengths.max(initial=2)) // multiple) * multiple
        mask = np.arange(longest) < lengths[:, None]
        ids = np.full(mask.shape, self.pad_token_id, dtype=np.int64)
        ids[mask] = [token for row in rows for token in row]
        return {"input_ids": ids, "attention_mask": mask.astype(np.int64)}

    def check_tokens(self, smiles: str) -> TokenCheck:
        """What would get lost of a molecule; the tokenizer itself says nothing."""
        dropped = TOKEN_REGEX.sub("", smiles)
        tokens = TOKEN_REGEX.findall(smiles)
        known = self._known()
        return TokenCheck(dropped, tuple(token for token in tokens if token not in known), len(tokens) + 2)

    def _known(self) -> dict[str, int]:
        if "known" not in self.__dict__:
            self.__dict__["known"] = self.get_vocab()
        return self.__dict__["known"]

    def save(self, folder: Path) -> None:
        """tokenizer.json."""
        folder.mkdir(parents=True, exist_ok=True)
        self.backend_tokenizer.no_truncation()
        self.backend_tokenizer.no_padding()
        self.backend_tokenizer.save(str(folder / "tokenizer.json"))
