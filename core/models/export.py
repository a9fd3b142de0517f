"""Export of a fine-tuned network for other programs: a `peft` adapter, or a backbone with merged weights."""

from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from core.engine.spec import BadInput
from core.models.ensemble import load_model
from core.models.methods import peft_adapters
from core.models.predictor import SCALERS, Predictor
from core.results.fit import Fit

HEAD = "head.safetensors"
README_TEXT = """# {title}

{what}

`{head}` holds the head under `head.*` (linear layers, ReLU between them), for each task the `centre` and `spread` of
the training labels and the range (`least`, `most`) that predictions are clipped to{maps}. A prediction in label units
is the head's output times `spread` plus `centre`.

{beside}
"""
ADAPTER_TEXT = """The adapter of `{method}` for {base}, in the format of `peft`:

    from peft import PeftModel
    base = AutoModel.from_pretrained(...)
    model = PeftModel.from_pretrained(base, "this folder")

`base` must have the weights that the adapter was trained on, including the feature maps."""
MERGED_TEXT = """{base} after fine-tuning, with all changes merged into its weights: {files}. Molsway can load this
folder as a backbone."""
FEATURES_TEXT = "Besides the embedding the head reads {words}; Molsway computes them, they are not part of this folder."


def export_adapter(predictor: Predictor, folder: Path, title: str) -> None:
    """Write a `peft` folder (adapter_config.json, adapter_model.safetensors) with head and feature maps.

    Raises `BadInput` for a method without adapter and for a graph network.
    """
    method = predictor.adapter
    if method is None:
        raise BadInput("this model has no adapter: its method trains weights of the backbone; export it as merged")
    if not predictor.backbone.reads_smiles:
        raise BadInput("`peft` cannot load an adapter of this graph network; export it as merged")
    backbone = peft_adapters.copy_without_adapter(predictor.backbone)
    wrapped = peft_adapters.wrap_with_peft(backbone, method.config(backbone))
    backbone.load_state_dict(backbone.state_dict() | peft_adapters.adapter_weights(predictor.backbone))
    for config in wrapped.peft_config.values():
        config.base_model_name_or_path = backbone.name
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    maps = {name: value for name, value in backbone.state_dict().items() if name.endswith("feature_map.weight")}
    _save_head(
        predictor, folder, {f"backbone.{name.replace('.base_layer', '')}": value for name, value in maps.items()}
    )
    _write_readme(
        predictor, folder, title, ADAPTER_TEXT.format(method=method.name, base=backbone.name), ", and the feature maps"
    )


def export_merged(predictor: Predictor, folder: Path, title: str) -> None:
    """Write the backbone with all changes merged into its weights, and the head."""
    merged = peft_adapters.copy_with_adapter_merged(predictor.backbone)
    merged.save(folder)
    _save_head(predictor, folder, {})
    _write_readme(predictor, folder, title, MERGED_TEXT.format(base=merged.name, files=merged.files), "")


FORMS: dict[str, Callable[[Predictor, Path, str], None]] = {"adapter": export_adapter, "merged": export_merged}


def export(fit: Fit, form: str, folder: Path, title: str) -> None:
    """Write a fit's network into a folder as "adapter" or "merged". Raises `BadInput` where that is not possible."""
    network = load_model(fit.folder / "predictor")
    if not isinstance(network, Predictor):
        raise BadInput(
            "only a single fine-tuned network can be exported: a baseline has no network, an ensemble has several, and "
            "a multitask model is already a backbone"
        )
    FORMS[form](network, folder, title)


def _save_head(predictor: Predictor, folder: Path, maps: dict[str, Tensor]) -> None:
    tensors = {f"head.{name}": value for name, value in predictor.head.state_dict().items()}
    tensors |= {name: getattr(predictor, name) for name in SCALERS} | maps
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, folder / HEAD)


def _write_readme(predictor: Predictor, folder: Path, title: str, what: str, maps: str) -> None:
    words = FEATURES_TEXT.format(words=predictor.features.words) if predictor.features is not None else ""
    text = README_TEXT.format(
        title=title, what=what, head=HEAD, maps=maps, beside=f"{predictor.backbone.embedding} {words}".strip()
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
