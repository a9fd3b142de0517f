"""MoLFormer: a BERT-like encoder of SMILES tokens with rotary positions and linear attention.

Ross et al. (2022), doi:10.1038/s42256-022-00580-7. Modules have the names of the published weights.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.engine.spec import BadInput
from core.models.backbones import weights
from core.models.backbones.molformer.config import MolformerConfig, read_config
from core.models.backbones.molformer.tokenizer import MolformerTokenizer


def rotary_angles(length: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines (length, width) of the rotary positions (Su et al. 2021, arXiv 2104.09864), base 10,000.

    Always computed in float32, as in the published model, so that a float64 run differs by rounding only. Recomputed on
    each call: it takes microseconds and has no limit of length, and a cached table would keep the autograd mode
    (inference, forward derivative) of its first use.
    """
    inverse = 1.0 / 10000.0 ** (torch.arange(0, width, 2, dtype=torch.float32, device=device) / width)
    angle = torch.arange(length, dtype=torch.float32, device=device)[:, None] * inverse  # (l, width/2)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat((cos, cos), 1), torch.cat((-sin, sin), 1)


def apply_rotation(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each pair (i, i + width/2) of `x` (…, width) by its angle."""
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin


class FeatureMap(nn.Module):
    """φ(x) = relu(x W): random directions W (head width, features), shared by the heads of a layer, not trained."""

    def __init__(self, config: MolformerConfig) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(config.head_size, config.num_random_features))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """φ of the rotated `x` (b, l, heads, width) → (b, heads, l, features), in the precision of `x`.

        Rotating the directions back replaces rotating x: rotate(x) · w = x · rotate⁻¹(w). This takes a small matrix per
        position instead of three passes over x.
        """
        b, length, heads, width = x.shape
        turned = apply_rotation(self.weight.T.to(cos.dtype), cos[:, None], -sin[:, None]).to(
            x.dtype
        )  # (l, features, width)
        rows = x.transpose(0, 1).reshape(length, b * heads, width)
        return (rows @ turned.transpose(1, 2)).relu().unflatten(1, (b, heads)).permute(1, 2, 0, 3)

    def draw_weights(self, generator: torch.Generator | None = None) -> Tensor:
        """New directions: orthogonal in blocks, with the lengths of Gaussian rows (Yu et al. 2016, arXiv 1610.09072).

        Always computed on the CPU: an accelerator is slow at factorising a small matrix.
        """
        width, count = self.weight.shape
        blocks = []
        for _ in range(-(-count // width)):
            gaussian = torch.randn(width, width, generator=generator, device="cpu")
            blocks.append(torch.linalg.qr(gaussian).Q * gaussian.norm(dim=1))
        return torch.cat(blocks, 1)[:, :count].contiguous()  # as safetensors needs it


class Attention(nn.Module):
    """Linear attention: φ(q) (φ(k)ᵀ v) / φ(q)·Σφ(k) (Katharopoulos et al. 2020, arXiv 2006.16236)."""

    def __init__(self, config: MolformerConfig) -> None:
        super().__init__()
        self.heads, self.size, self.least = config.num_attention_heads, config.head_size, config.linear_attention_eps
        self.query, self.key, self.value = (nn.Linear(config.hidden_size, config.hidden_size) for _ in range(3))
        self.feature_map = FeatureMap(config)

    def forward(self, x: Tensor, mask: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """`x` (b, l, h); `mask` (b, 1, l, 1) of 0 and 1: padded keys add nothing, padded queries are computed."""
        shape = (*x.shape[:2], self.heads, self.size)
        q, k, v = (project(x).view(shape) for project in (self.query, self.key, self.value))
        with without_autocast(x.device):  # in the precision of the projections, except sums over hundreds of keys
            q = self.feature_map(q, cos, sin)  # (b, heads, l, f)
            k = self.feature_map(k, cos, sin) * mask.to(k.dtype)
            keys = k.sum(2, dtype=mask.dtype).to(k.dtype)
            total = (q @ keys.unsqueeze(-1)).clamp(min=self.least)  # (b, heads, l, 1)
            mixed = q @ (k.transpose(2, 3) @ v.transpose(1, 2)) / total  # (b, heads, l, d)
        return mixed.transpose(1, 2).reshape(x.shape)


class Dropout(nn.Dropout):
    """Dropout that draws one 64-bit random number for four values on the CPU; PyTorch's takes a third of a step there.

    The probability is exact to 1/65536; the remaining values are scaled by 1 / (1 − p) as usual.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not 0 < self.p < 1 or x.device.type != "cpu":
            return super().forward(x)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        keep = bits.view(torch.int16)[: x.numel()].view(x.shape) >= round(65536 * self.p) - 32768
        return x * keep.to(x.dtype).mul_(1 / (1 - self.p))


class ResidualOutput(nn.Module):
    """LayerNorm(x + dropout(Linear(inner)))."""

    def __init__(self, width: int, config: MolformerConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, inner: Tensor, x: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(inner)) + x)


class Layer(nn.Module):
    """Attention, then a feed-forward net; a layer norm follows each residual sum (post-norm), as in BERT."""

    def __init__(self, config: MolformerConfig) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {"self": Attention(config), "output": ResidualOutput(config.hidden_size, config)}
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(config.hidden_size, config.intermediate_size)})
        self.output = ResidualOutput(config.intermediate_size, config)

    def forward(self, x: Tensor, mask: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = self.attention["output"](self.attention["self"](x, mask, cos, sin), x)
        return self.output(functional.gelu(self.intermediate["dense"](x)), x)


class TokenHead(nn.Module):
    """The masked-LM head: hidden state (…, h) → a logit per token of the vocabulary. Its decoder is not tied."""

    def __init__(self, config: MolformerConfig) -> None:
        super().__init__()
        norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.transform = nn.ModuleDict({"dense": nn.Linear(config.hidden_size, config.hidden_size), "LayerNorm": norm})
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.decoder(self.transform["LayerNorm"](functional.gelu(self.transform["dense"](hidden))))


class Molformer(nn.Module):
    """Token ids (b, l) and their mask (b, l) → hidden states (b, l, h); with `mlm_head` also token logits.

    `redraws_features`: draw new random features on each forward pass in training, as the published code does. Off by
    default: the function would change between two passes, so gradients and curvature would belong to another model, and
    a resumed training would differ from an uninterrupted one. Evaluation never redraws.
    """

    def __init__(self, config: MolformerConfig, mlm_head: bool = True) -> None:
        super().__init__()
        self.config, self.redraws_features = config, False
        words = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.embeddings = nn.ModuleDict({"word_embeddings": words, "dropout": Dropout(config.embedding_dropout_prob)})
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))})
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.lm_head = TokenHead(config) if mlm_head else None

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Hidden states (b, l, h) after the final LayerNorm. The mask is 1 for a token and 0 for padding."""
        for x in self.states(input_ids, attention_mask):
            last = x
        return self.LayerNorm(last)

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        """Token embeddings and the output of each layer, N + 1 times (b, l, h), before the final LayerNorm."""
        return list(self.states(input_ids, attention_mask))

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Iterator[Tensor]:
        """The same, one after another."""
        check_mask(input_ids, attention_mask)
        if self.redraws_features and self.training:
            self.draw_features()
        words = self.embeddings["word_embeddings"]
        dtype = torch.promote_types(words.weight.dtype, torch.float32)
        mask = attention_mask[:, None, :, None].to(dtype)
        cos, sin = (
            table.to(dtype) for table in rotary_angles(input_ids.shape[1], self.config.head_size, input_ids.device)
        )
        x = self.embeddings["dropout"](to_autocast_dtype(words(input_ids)))
        yield x
        for layer in self.encoder["layer"]:
            x = layer(x, mask, cos, sin)
            yield x

    def pool(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Mean (b, h) of the hidden states over all tokens except padding, including `<bos>` and `<eos>`."""
        mask = attention_mask[:, :, None].to(torch.promote_types(hidden.dtype, torch.float32))
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)

    def mlm_logits(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token logits (b, l, vocabulary) at each position. Raises `BadInput` without the masked-LM head."""
        if self.lm_head is None:
            raise BadInput(
                "this backbone has no masked-LM head, so it cannot predict tokens; load one whose file has `lm_head` "
                "tensors, with `mlm_head=True`, or start from `build_untrained`"
            )
        return self.lm_head(self(input_ids, attention_mask))

    def feature_maps(self) -> list[FeatureMap]:
        return [layer.attention["self"].feature_map for layer in self.encoder["layer"]]

    def draw_features(self, generator: torch.Generator | None = None) -> None:
        """New random features in every layer. Buffers are replaced: a backward pass may still need the old ones."""
        for features in self.feature_maps():
            features.weight = features.draw_weights(generator).to(features.weight)

    @torch.no_grad()
    def initialise(self, seed: int) -> "Molformer":
        """Random weights as in BERT: normal of standard deviation `initializer_range`, biases and padding row zero."""
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                module.weight.normal_(0, self.config.initializer_range, generator=generator)
            if isinstance(module, nn.LayerNorm):
                module.weight.fill_(1)
            if isinstance(module, (nn.Linear, nn.LayerNorm)) and module.bias is not None:
                module.bias.zero_()
        self.embeddings["word_embeddings"].weight[self.config.pad_token_id] = 0
        self.draw_features(generator)
        return self

    def save(self, folder: Path, half: bool = False, **about: str) -> None:
        """Write config.json (with `about` added) and model.safetensors (with feature maps), under the hub's names."""
        state = {name: value.half() if half else value for name, value in self.state_dict().items()}
        precision = {"torch_dtype": "float16"} if half else {}
        weights.save_weights(folder, state, self.config.to_json() | precision | about)


def check_mask(input_ids: Tensor, attention_mask: Tensor | None) -> None:
    """Raises `BadInput` unless the mask fits: otherwise padding would be attended to silently. Values are not read."""
    if attention_mask is None:
        raise BadInput("MoLFormer needs an `attention_mask`: 1 for a token, 0 for padding; the tokenizer returns it")
    if input_ids.ndim != 2 or attention_mask.shape != input_ids.shape:
        raise BadInput(
            f"`input_ids` and `attention_mask` need the same shape (molecules, tokens), a 0 or 1 for each token; "
            f"got {tuple(input_ids.shape)} and {tuple(attention_mask.shape)}"
        )
    if attention_mask.is_floating_point():
        raise BadInput(f"`attention_mask` needs integers 0 and 1 or booleans, got {attention_mask.dtype}")


def without_autocast(device: torch.device) -> contextlib.AbstractContextManager:
    """A context in which autocast is off."""
    if device.type in ("cpu", "cuda") and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()


def to_autocast_dtype(x: Tensor) -> Tensor:
    """`x` in autocast's data type if autocast is on, so that the layers need no conversion."""
    on = x.device.type in ("cpu", "cuda") and torch.is_autocast_enabled(x.device.type)
    return x.to(torch.get_autocast_dtype(x.device.type)) if on else x


def build_untrained(config: MolformerConfig, seed: int, mlm_head: bool = True) -> Molformer:
    """Random weights, in evaluation mode. Global random state is neither used nor changed.

    Under `with torch.device("meta")` only shapes, for counting.
    """
    bare = torch.get_default_device().type == "meta"
    with torch.device("meta"):
        model = Molformer(config, mlm_head).eval()
    return model if bare else model.to_empty(device="cpu").initialise(seed)


def load_molformer(folder: Path | str, mlm_head: bool = True) -> tuple[Molformer, MolformerTokenizer]:
    """A saved or published MoLFormer and its tokenizer, float32 on the CPU, in evaluation mode.

    Every tensor of the file must match. A file with the encoder only gives a model without masked-LM head;
    `mlm_head=False` drops the head of another file. Raises `BadInput`.
    """
    folder = Path(folder)
    config = MolformerConfig.from_json(read_config(folder))
    tokenizer = MolformerTokenizer.read(folder / "tokenizer.json")
    if len(tokenizer) > config.vocab_size or tokenizer.pad_token_id != config.pad_token_id:
        raise BadInput(
            f"{folder}: tokenizer.json ({len(tokenizer)} tokens, padding {tokenizer.pad_token_id}) and config.json "
            f"({config.vocab_size} tokens, padding {config.pad_token_id}) belong to different models; copy both again"
        )
    tensors = weights.load_weights(folder)
    with torch.device("meta"):
        model = Molformer(config, mlm_head=weights.has_token_head(tensors)).eval()
    model.load_state_dict(weights.match_weights(tensors, model.state_dict(), folder), assign=True)
    if not mlm_head:
        model.lm_head = None
    return model, tokenizer
