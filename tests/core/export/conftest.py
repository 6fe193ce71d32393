"""A LoRA adapter of random weights on the embedded model."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from bt_core.models import BaseModel


@pytest.fixture(scope="session")
def adapter(embedded_model: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weights are small, so that the model still writes words, and large enough that its answers are others."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("adapter")
    tuned = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(embedded_model.path), tuned)
    for name, weights in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.02)
    adapted.save_pretrained(folder)
    return folder
