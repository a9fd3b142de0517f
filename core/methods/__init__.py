"""Methods: which weights of a predictor move while it is fine-tuned.

A method is called with a predictor and marks what moves; `count` says by a formula how many weights of the backbone
that will be. One that puts weights of its own into the backbone also gives the `config` of `peft` that does it; one
that cannot be recorded on CUDA (`core.replaying`) says that it is not `steady`.
"""

from core.engine.spec import Family
from core.methods.bitfit import BitFit
from core.methods.dora import DoRA
from core.methods.fourierft import FourierFT
from core.methods.full import Full
from core.methods.gradual import Gradual
from core.methods.head import Head
from core.methods.ia3 import IA3
from core.methods.last_layers import LastLayers
from core.methods.ln_tuning import LayerNorms
from core.methods.lora import LoRA
from core.methods.miss import MiSS
from core.methods.oft import OFT
from core.methods.vera import VeRA

METHODS = Family(
    "method", Full, Gradual, LastLayers, LoRA, DoRA, IA3, BitFit, LayerNorms, VeRA, OFT, FourierFT, MiSS, Head
)
