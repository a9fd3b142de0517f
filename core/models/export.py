"""A fitted network in forms that other programs read: a `peft` adapter, or a backbone with everything merged in."""

from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save_file

from core.engine.spec import BadInput
from core.models.ensemble import load_model
from core.models.methods import peft_adapters
from core.models.predictor import SCALERS, Predictor
from core.results.fit import Fit

HEAD = "head.safetensors"
README_TEXT = """# {title}

{what}

`{head}` holds the head under `head.*` (linear layers, ReLU between them), for each task the `centre` and `spread` of
the training labels and the range (`least`, `most`) that a prediction is held in{maps}. A prediction in label units is
the head's output times `spread` plus `centre`.

{beside}
"""
ADAPTER_TEXT = """The adapter of `{method}` for {base}, as `peft` keeps it:

    from peft import PeftModel
    base = AutoModel.from_pretrained(...)
    model = PeftModel.from_pretrained(base, "this folder")

`base` has to have the very weights that the adapter was trained on, the feature maps among them."""
MERGED_TEXT = """{base} after fine-tuning, everything merged into its own weights: {files}. Molsway takes this
folder as a backbone."""
FEATURES_TEXT = (
    "Beside the embedding the head reads {words}; these are computed by Molsway and not part of this folder."
)


def export_adapter(predictor: Predictor, folder: Path, title: str) -> None:
    """A standard `peft` folder (adapter_config.json, adapter_model.safetensors), head and feature maps beside it.

    Raises `BadInput` for a method that puts no weights of its own into the backbone.
    """
    method = predictor.adapter
    if method is None:
        raise BadInput("this fit has no adapter: its method moves weights of the backbone itself; export it as merged")
    if not predictor.backbone.reads_smiles:
        raise BadInput("other programs do not know this network over graphs; export it as merged")
    bare = peft_adapters.copy_without_adapter(predictor.backbone)
    whole = peft_adapters.wrap_with_peft(bare, method.config(bare))
    bare.load_state_dict(bare.state_dict() | peft_adapters.adapter_weights(predictor.backbone))
    for config in whole.peft_config.values():
        config.base_model_name_or_path = bare.name
    whole.save_pretrained(folder, save_embedding_layers=False)
    maps = {name: value for name, value in bare.state_dict().items() if name.endswith("feature_map.weight")}
    _head(predictor, folder, {f"backbone.{name.replace('.base_layer', '')}": value for name, value in maps.items()})
    _about(predictor, folder, title, ADAPTER_TEXT.format(method=method.name, base=bare.name), ", and the feature maps")


def export_merged(predictor: Predictor, folder: Path, title: str) -> None:
    """The backbone's own files with every change merged into its weights, and the head beside them."""
    whole = peft_adapters.copy_with_adapter_merged(predictor.backbone)
    whole.save(folder)
    _head(predictor, folder, {})
    _about(predictor, folder, title, MERGED_TEXT.format(base=whole.name, files=whole.files), "")


FORMS: dict[str, Callable[[Predictor, Path, str], None]] = {"adapter": export_adapter, "merged": export_merged}


def export(fit: Fit, form: str, folder: Path, title: str) -> None:
    """Write a fit's network into a folder in one of the forms. Raises `BadInput` where it has none of that form."""
    network = load_model(fit.folder / "predictor")
    if not isinstance(network, Predictor):
        words = "a baseline has none, an ensemble several, a trunk is a backbone by itself"
        raise BadInput(f"only a single fine-tuned network can be exported so; {words}")
    FORMS[form](network, folder, title)


def _head(predictor: Predictor, folder: Path, more: dict) -> None:
    own = {f"head.{name}": value for name, value in predictor.head.state_dict().items()}
    own |= {name: getattr(predictor, name) for name in SCALERS} | more
    save_file({name: value.detach().cpu().contiguous() for name, value in own.items()}, folder / HEAD)


def _about(predictor: Predictor, folder: Path, title: str, what: str, maps: str) -> None:
    words = FEATURES_TEXT.format(words=predictor.features.words) if predictor.features is not None else ""
    text = README_TEXT.format(
        title=title, what=what, head=HEAD, maps=maps, beside=f"{predictor.backbone.embedding} {words}".strip()
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
