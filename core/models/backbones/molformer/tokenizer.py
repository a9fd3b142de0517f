"""The tokenizer of MoLFormer: atoms, bonds and other SMILES signs as tokens, and a check for lost characters."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from core.engine.spec import BadInput
from core.models.backbones.molformer.vocabulary import BOS, EOS, MASK, PAD, SPECIAL, TOKEN_PATTERN, TOKEN_REGEX, UNK

CACHED_MOLECULES = 100_000  # molecules with cached ids: training reads the same ones in every epoch


@dataclass(frozen=True)
class TokenCheck:
    """The result of tokenising a SMILES: dropped characters, tokens that become `<unk>`, number of tokens."""

    dropped: str
    unknown: tuple[str, ...]
    length: int

    def sentences(self, longest: int) -> list[str]:
        """A sentence per problem; `longest`: number of tokens of the longest molecule in pre-training."""
        sentences = []
        if self.dropped:
            sentences.append(f"the characters {self.dropped!r} are no SMILES tokens and are dropped")
        if self.unknown:
            names = ", ".join(dict.fromkeys(self.unknown))
            sentences.append(f"{len(self.unknown)} of its tokens are not in the vocabulary and become {UNK}: {names}")
        if self.length > longest:
            sentences.append(
                f"it has {self.length} tokens, more than the {longest} of pre-training; it is not truncated"
            )
        return sentences


class TokenCache(dict[str, list[int]]):
    """Cached ids by SMILES; a copy of the tokenizer starts with an empty cache."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "TokenCache":
        return TokenCache()


class MolformerTokenizer(PreTrainedTokenizerFast):
    """`<bos> tokens <eos>`; calling it returns `input_ids` and `attention_mask`, like any tokenizer of transformers."""

    @classmethod
    def from_vocabulary(cls, vocabulary: Sequence[str]) -> "MolformerTokenizer":
        """From tokens in the order of their ids, with the special ones. Raises `BadInput`. See `vocabulary`."""
        ids = {token: number for number, token in enumerate(vocabulary)}
        if len(ids) < len(vocabulary) or not ids.keys() >= set(SPECIAL):
            raise BadInput(f"a vocabulary needs each token once, including {' '.join(SPECIAL)}")
        tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNK))
        pattern = Regex(TOKEN_PATTERN)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(pattern, "removed", invert=True), pre_tokenizers.Split(pattern, "isolated")]
        )
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A {EOS}",
            pair=f"{BOS} $A {EOS} $B {EOS}",
            special_tokens=[(BOS, ids[BOS]), (EOS, ids[EOS])],
        )
        tokenizer.decoder = decoders.Fuse()
        tokenizer.add_special_tokens(list(SPECIAL))
        return cls.from_tokenizer(tokenizer)

    @classmethod
    def read(cls, path: Path) -> "MolformerTokenizer":
        """From a tokenizer.json in the hub's format. Raises `BadInput` for an absent, damaged or foreign one."""
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises bare `Exception`
            reason = "it is not there" if not path.is_file() else str(error).splitlines()[0]
            raise BadInput(f"{path} cannot be read ({reason}); copy the model's tokenizer.json there") from None
        vocabulary = tokenizer.get_vocab()
        if absent := [token for token in SPECIAL if token not in vocabulary]:
            raise BadInput(f"{path} lacks the tokens {' '.join(absent)}; copy MoLFormer's tokenizer.json")
        return cls.from_tokenizer(tokenizer)

    @classmethod
    def from_tokenizer(cls, tokenizer: Tokenizer) -> "MolformerTokenizer":
        """From a tokenizer of the Rust library, without truncation or padding."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(
            tokenizer_object=tokenizer,
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
        """Token ids of each molecule with `<bos>` and `<eos>`, not truncated or padded; cached, so do not change them.

        Raises `BadInput` for a SMILES that is not text.
        """
        backend, cache = self.backend_tokenizer, self.__dict__.setdefault("cache", TokenCache())
        backend.no_truncation()  # a call with `padding=True` changes the setting of the backend
        backend.no_padding()
        try:
            new = [one for one in dict.fromkeys(smiles) if one not in cache]
            read = {one: encoding.ids for one, encoding in zip(new, backend.encode_batch_fast(new), strict=True)}
        except TypeError:
            wrong = next((value for value in smiles if not isinstance(value, str)), smiles)
            raise BadInput(f"a SMILES is text, got {wrong!r:.80}; drop the rows without SMILES") from None
        rows = [read[one] if one in read else cache[one] for one in smiles]
        if len(cache) + len(read) > CACHED_MOLECULES:
            cache.clear()
        if len(read) <= CACHED_MOLECULES:
            cache.update(read)
        return rows

    def pad_batch(self, smiles: Sequence[str], multiple: int = 1) -> dict[str, np.ndarray]:
        """`input_ids` and `attention_mask` (n, longest), int64, padded on the right to a `multiple` of tokens."""
        rows = self.ids(smiles)
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        longest = -(-int(lengths.max(initial=2)) // multiple) * multiple
        mask = np.arange(longest) < lengths[:, None]
        ids = np.full(mask.shape, self.pad_token_id, dtype=np.int64)
        ids[mask] = [token for row in rows for token in row]
        return {"input_ids": ids, "attention_mask": mask.astype(np.int64)}

    def check_tokens(self, smiles: str) -> TokenCheck:
        """The dropped characters and unknown tokens of a molecule, which the tokenizer itself does not report."""
        dropped = TOKEN_REGEX.sub("", smiles)
        tokens = TOKEN_REGEX.findall(smiles)
        vocabulary = self._vocabulary()
        return TokenCheck(dropped, tuple(token for token in tokens if token not in vocabulary), len(tokens) + 2)

    def _vocabulary(self) -> dict[str, int]:
        if "vocabulary" not in self.__dict__:
            self.__dict__["vocabulary"] = self.get_vocab()
        return self.__dict__["vocabulary"]

    def save(self, folder: Path) -> None:
        """Write tokenizer.json."""
        folder.mkdir(parents=True, exist_ok=True)
        self.backend_tokenizer.no_truncation()
        self.backend_tokenizer.no_padding()
        self.backend_tokenizer.save(str(folder / "tokenizer.json"))
