"""Sources of backbone weights: a folder, a bundled checkpoint, the hub, or a random seed."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from core.engine.digests import digest_file, find_change
from core.engine.spec import BadInput, settings
from core.models.backbones.molformer.config import GRAPH_MODEL_TYPE, SIZES, read_config
from core.models.backbones.molformer.vocabulary import FIXED_VOCABULARY
from core.models.backbones.spec import BackboneSpec

if TYPE_CHECKING:
    from core.models.backbones.molformer.backbone import Backbone

CHECKPOINTS = Path(__file__).parent / "checkpoints"
REPOSITORY = "ibm/MoLFormer-XL-both-10pct"
REVISION = "361063d0ad524ef77cf39b08469f6be770dc550f"
DIGEST = "0795977fe7192c4acdaf052f0e8464af57bc4bb59211271c5e61aaba2637b9c6"  # sha256 of its model.safetensors
BYTES = 187_248_784
FILES = ("config.json", "tokenizer.json", "model.safetensors")
SHIPPED = {  # sha256 of the files of bundled checkpoints
    "molsway-mini": {
        "config.json": "eb292587d910fe1ca5e0bf84665362a3dcba23befccca7be0a71eaf1340328dc",
        "tokenizer.json": "c4ed8ec2cdd6b5e348e942e9df10d6281926d65414835c78cb8d348d3b76cb78",
        "model.safetensors": "b62ec836bd8002d485c7d8838a92dc064502e704f17b914f932b96ed48c2bbb5",
        "corpus_keys.safetensors": "fbc4989bc872ea67e48a1c58f6b86c9cc0c2dd77fc25c363631cdd3c9a925505",
        "card.json": "95b9a1cecd9355fff318bdb1aa9c29700b5ae0eb29c34a74c2302baf4f05bf8e",
    }
}


@settings
class Pretrained(BackboneSpec):
    """A pre-trained chemical language model: one by name, or any folder with a saved backbone.

    The name is looked up as a folder first, then among the bundled checkpoints, then on the hub (`molformer-xl`,
    187 MB, downloaded once). No code is downloaded.
    """

    kind: ClassVar[str] = "pretrained"
    kind_name: ClassVar[str] = "pre-trained"

    name: str = Field(
        default="molsway-mini", min_length=1, description="molsway-mini, molformer-xl, or the path of a folder"
    )
    digest: str = Field(
        default="",
        pattern="^([0-9a-f]{64})?$",
        description="sha256 of the files, filled in at first use",
    )

    @property
    def called(self) -> str:
        return Path(self.name).name or self.name  # of a folder only the last part

    @property
    def folder(self) -> Path | None:
        """The user's folder, if the name is a path to one."""
        folder = Path(self.name)
        with contextlib.suppress(RuntimeError):  # `~user` of an unknown user
            folder = folder.expanduser()
        return folder if (folder / "config.json").is_file() or (folder.is_dir() and self.name not in SIZES) else None

    @property
    def local_folder(self) -> Path | None:
        """The folder with its files, the user's or a bundled one; None where there is none."""
        shipped = CHECKPOINTS / self.name
        return self.folder or (shipped if (shipped / "config.json").is_file() else None)

    def check_shipped(self) -> None:
        """Raise `BadInput` where the files of a bundled checkpoint are not those that were published."""
        if self.folder is not None or self.name not in SHIPPED or self.local_folder is None:
            return
        if change := find_change(self.local_folder, SHIPPED[self.name]):
            raise BadInput(
                f"the installation is damaged: in {self.local_folder} {change}; install Molsway again or restore the "
                "file"
            )

    def with_digests(self) -> "Pretrained":
        """The same with the digest of its files, so that the key of a spec depends on the weights, not the name.

        Raises `BadInput` for a damaged bundled checkpoint.
        """
        self.check_shipped()
        return (
            self
            if self.digest or self.local_folder is None
            else dataclasses.replace(self, digest=content_digest(self.local_folder))
        )

    def __call__(self, mlm_head: bool = False) -> "Backbone":
        """The backbone in evaluation mode, with its masked-LM head if `mlm_head`. Raises `BadInput`."""
        self.check_shipped()
        if self.local_folder is not None and self.digest and content_digest(self.local_folder) != self.digest:
            raise BadInput(
                f"the files of the backbone {self.name} have changed since this spec was written; leave `digest` empty "
                "to use the present files"
            )
        if self.folder is not None:
            return load_backbone(self.folder, mlm_head)
        if self.local_folder is not None:
            folder = self.local_folder
            if self.name == "molformer-xl":
                check_published(folder / "model.safetensors")
        elif self.name == "molformer-xl":
            folder = download()
        elif self.name in SIZES:
            raise BadInput(
                f"{self.name} has no trained weights in this installation; use `untrained` (random weights), pre-train "
                "it on a corpus, or give the folder of a saved backbone"
            )
        else:
            raise BadInput(
                f"there is no backbone {self.name!r}: give molsway-mini, molformer-xl or the path of a folder"
            )
        return load_backbone(folder, mlm_head, name=self.name)


@settings
class Untrained(BackboneSpec):
    """A chemical language model with random weights: a control, or the start of pre-training."""

    kind: ClassVar[str] = "untrained"
    kind_name: ClassVar[str] = "random weights"
    repeatable: ClassVar[bool] = True

    name: Literal["molsway-mini", "molsway-tiny", "molformer-xl"] = Field(
        default="molsway-mini", description="size: 4.2, 0.4 or 44 million parameters"
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the weights")

    @property
    def called(self) -> str:
        return f"{self.name} (random weights)"

    def __call__(self, mlm_head: bool = False) -> "Backbone":
        """The backbone in evaluation mode. Without a corpus the vocabulary is a fixed one."""
        from core.models.backbones.molformer.backbone import Backbone
        from core.models.backbones.molformer.model import build_untrained
        from core.models.backbones.molformer.tokenizer import MolformerTokenizer

        model = build_untrained(SIZES[self.name], self.seed, mlm_head)
        return Backbone(model, MolformerTokenizer.from_vocabulary(FIXED_VOCABULARY), self.called)


def load_backbone(folder: Path | str, mlm_head: bool = False, name: str | None = None) -> "Backbone":
    """A saved backbone, float32 on the CPU, in evaluation mode. Raises `BadInput`.

    Its name is `name`, else the saved one, else that of the folder. The masked-LM head is loaded only if `mlm_head`: an
    embedding does not need it, and its parameters would be counted.
    """
    folder = Path(folder)
    if folder.is_file():
        raise BadInput(f"{folder} is a file; give the folder with {', '.join(FILES)}")
    about = read_config(folder)
    name = str(name or about.get("name") or folder.resolve().name)
    if about.get("model_type") == GRAPH_MODEL_TYPE:
        from core.models.backbones.gnn.backbone import GraphBackbone

        if mlm_head:
            raise BadInput(
                f"{name} is a graph network without a masked-LM head; use a transformer such as molsway-mini"
            )
        return GraphBackbone.load(folder, about, name)
    from core.models.backbones.molformer.backbone import Backbone

    return Backbone.load(folder, name, mlm_head)


def content_digest(folder: Path) -> str:
    """sha256 (hex) over the files of a saved backbone; an absent file counts as empty."""
    whole = hashlib.sha256()
    for name in FILES:
        path = folder / name
        if path.is_file():
            whole.update(bytes.fromhex(digest_file(path)))
        whole.update(name.encode())
    return whole.hexdigest()


def download(fetch: Callable[..., str] | None = None) -> Path:
    """The folder of the published MoLFormer-XL in the hub's cache, downloaded if absent; its digest is checked.

    `fetch`: replaces `huggingface_hub.hf_hub_download`. Raises `BadInput` with the files to copy by hand.
    """
    from huggingface_hub import hf_hub_download

    try:
        paths = [
            Path((fetch or hf_hub_download)(repo_id=REPOSITORY, filename=name, revision=REVISION)) for name in FILES
        ]
    except Exception as error:  # the hub's client raises errors of its own, of its HTTP library and of the system
        reason = next(iter(str(error).splitlines()), "").rstrip(" .") or type(error).__name__
        raise BadInput(
            f"molformer-xl is not on this machine and the hub cannot be reached ({reason}); on a machine with a "
            f"network download {', '.join(FILES)} of {REPOSITORY} at revision {REVISION} and put them into "
            f"{CHECKPOINTS / 'molformer-xl'}, or give the path of their folder as the name"
        ) from None
    check_published(paths[-1])
    return paths[-1].parent


def check_published(path: Path) -> None:
    """Raises `BadInput` unless this is the published file, by its sha256."""
    from core.models.backbones.weights import file_digest

    if not path.is_file():
        raise BadInput(f"{path.parent} has no {path.name}; copy the published one there ({BYTES:,} bytes)")
    digest = file_digest(path)
    if digest != DIGEST:
        raise BadInput(
            f"{path} ({path.stat().st_size:,} bytes, sha256 {digest}) is not the published model.safetensors "
            f"({BYTES:,} bytes, sha256 {DIGEST}); delete it and download it again, or load your own weights by path"
        )
