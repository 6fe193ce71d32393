"""The model and device of a benchmark: the embedded model, a folder, or random weights of a given size."""

import argparse
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from bt_core.config import EngineConfig
from bt_core.models import EMBEDDED_MODEL, BaseModel, resolve_model

#: Shapes for random weights, since speed needs no trained ones. 1B, 3B and 8B have the shapes of Llama 3's models
#: (Grattafiori et al. 2024, arXiv 2407.21783), except for their vocabulary: the tokenizer is the embedded model's.
RANDOM_MODELS: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "initializer_range": 0.2,
    },
    "1B": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "3B": {
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
    },
    "8B": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
}


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """`--model`, `--random-model`, `--device`, `--dtype`."""
    parser.add_argument("--model", default=EMBEDDED_MODEL, help="embedded model, folder or Hugging Face id")
    parser.add_argument("--random-model", choices=RANDOM_MODELS, help="random weights of this size instead")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="float32")


def settings(options: argparse.Namespace) -> EngineConfig:
    """The engine settings that the options name."""
    return EngineConfig(device=options.device, dtype=options.dtype)


def place(options: argparse.Namespace) -> tuple[str, torch.dtype]:
    """The device and number format that the options select."""
    device = options.device if options.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    native = torch.bfloat16 if device == "cuda" else torch.float32
    return device, native if options.dtype == "auto" else getattr(torch, options.dtype)


def open_model(options: argparse.Namespace, scratch: Path) -> BaseModel:
    """The model that the options name. A model with random weights is written to the scratch folder."""
    if options.random_model:
        return random_model(options.random_model, scratch / options.random_model, *place(options))
    return resolve_model(options.model)


def random_model(size: str, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> BaseModel:
    """Write a Llama with seeded random weights and the embedded model's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(resolve_model(EMBEDDED_MODEL).path)
    config = LlamaConfig(
        vocab_size=49152,
        max_position_embeddings=2048,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        tie_word_embeddings=True,
        **RANDOM_MODELS[size],
    )
    torch.manual_seed(0)
    with torch.device(device):
        AutoModelForCausalLM.from_config(config, dtype=dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "bt_revision.txt").write_text(f"random-{size}-{dtype}\n")  # so that gigabytes need not be hashed
    return resolve_model(str(folder))


def plain_model(base: BaseModel, engine: EngineConfig) -> tuple[Any, Any]:
    """Model and tokenizer as transformers loads them, with its own attention, for the baselines."""
    device = engine.device if engine.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = "auto" if engine.dtype == "auto" else getattr(torch, engine.dtype)
    model = AutoModelForCausalLM.from_pretrained(base.path, dtype=dtype).to(device).eval().requires_grad_(False)
    return model, AutoTokenizer.from_pretrained(base.path, padding_side="left")
