"""QLoRA: LoRA is trained on a frozen base model in 4-bit NormalFloat (Dettmers et al. 2023, arXiv 2305.14314)."""

from importlib.util import find_spec
from typing import Any

import torch
from peft import prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from bt_core.config import EngineConfig
from bt_core.errors import ConfigError, ModelError, first_line
from bt_core.models import BaseModel


def load_quantized(model: BaseModel, settings: EngineConfig) -> tuple[Any, Any]:
    """Load the base model in NF4 with double quantisation and products in bfloat16, and its tokenizer.

    Raises:
        ConfigError: when there is no bitsandbytes or no GPU.
        ModelError: when transformers cannot load the folder.
    """
    if find_spec("bitsandbytes") is None:
        raise ConfigError(
            "`w.quantize` is 4bit, but bitsandbytes cannot be imported here: install it, or leave `w.quantize` at none."
        )
    if settings.device == "cpu" or not torch.cuda.is_available():
        raise ConfigError("`w.quantize` is 4bit, but there is no GPU here: leave `w.quantize` at none.")
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    device_map = {"": torch.cuda.current_device()}
    try:
        tokenizer = AutoTokenizer.from_pretrained(model.path, trust_remote_code=False)
        loaded = AutoModelForCausalLM.from_pretrained(
            model.path,
            quantization_config=quantization,
            dtype=torch.bfloat16,
            device_map=device_map,
            trust_remote_code=False,
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"The model {model.id} cannot be loaded in 4 bits ({first_line(error)}): check the folder."
        ) from None
    return prepare_model_for_kbit_training(loaded, use_gradient_checkpointing=False), tokenizer
