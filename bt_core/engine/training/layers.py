"""Give a loaded model LoRA weights on the layers that the settings name, and refuse names that cannot be meant."""

from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig as PeftLoraConfig
from peft import get_peft_model
from transformers.pytorch_utils import Conv1D

from bt_core.config import LoraConfig
from bt_core.engine.training.targets import ALL_LINEAR, means, refusal
from bt_core.errors import ModelError, first_line


def with_lora(model: Any, settings: LoraConfig) -> Any:
    """The model with new LoRA weights, as PEFT makes them.

    Raises:
        ModelError: when `w.target_modules` names what is no linear layer of the model, or the layer of logits.
    """
    is_all = settings.target_modules == (ALL_LINEAR,)
    if not is_all:
        _check_layers(model, settings.target_modules)
    adapter = PeftLoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=ALL_LINEAR if is_all else list(settings.target_modules),
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, adapter)
    except ValueError as error:
        raise ModelError(
            f"`w.target_modules` {list(settings.target_modules)} do not fit the model"
            f" ({first_line(error)}): name layers that it has."
        ) from None


def _check_layers(model: Any, targets: Sequence[str]) -> None:
    """PEFT would leave out unknown names without a word; the engine computes the layer of logits itself.

    Raises:
        ModelError: names the first wrong one, and the layers that there are.
    """
    head = model.get_output_embeddings()
    linear = {name: module for name, module in model.named_modules() if isinstance(module, (torch.nn.Linear, Conv1D))}
    there = {name.rpartition(".")[2] for name, module in linear.items() if module is not head}
    for target in sorted(set(targets)):
        meant = [module for name, module in linear.items() if means(target, name)]
        if not meant:
            raise refusal(target, "is no linear layer of the model", there)
        if any(module is head for module in meant):
            raise refusal(target, "is the layer of logits, which cannot have an adapter", there)
