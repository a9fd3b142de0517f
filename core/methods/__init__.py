"""Methods: which weights of a predictor move while it is fine-tuned."""

from core.methods.full import Full
from core.methods.head import Head
from core.methods.lora import LoRA
from core.spec import Family

METHODS = Family("method", Full, Head, LoRA)
