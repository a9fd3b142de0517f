"""Fine-tuning methods: which weights of a predictor are trained. Their interface is `method.Method`."""

from core.engine.spec import Family
from core.models.methods.bitfit import BitFit
from core.models.methods.dora import DoRA
from core.models.methods.fourierft import FourierFT
from core.models.methods.full import Full
from core.models.methods.gradual import Gradual
from core.models.methods.head import Head
from core.models.methods.ia3 import IA3
from core.models.methods.last_layers import LastLayers
from core.models.methods.ln_tuning import LayerNorms
from core.models.methods.lora import LoRA
from core.models.methods.miss import MiSS
from core.models.methods.oft import OFT
from core.models.methods.vera import VeRA

METHODS = Family(
    "method", Full, Gradual, LastLayers, LoRA, DoRA, IA3, BitFit, LayerNorms, VeRA, OFT, FourierFT, MiSS, Head
)
