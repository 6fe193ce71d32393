"""A finished program, made without a run: prompts with demonstrations and a real random LoRA adapter."""

from dataclasses import replace
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from bt_core.lm.states import vanilla_states
from bt_core.models import BaseModel
from bt_core.program import AdapterRef, LineageStep, Program, adapter_sha256, write_program
from bt_core.task import Task

LINEAGE = (
    LineageStep("p", "1.p", 0, {"candidates": 2}, "a" * 64, 0.25, 0.5, "2 demos"),
    LineageStep("w", "2.w", 0, {"rank": 2}, "b" * 64, 0.5, 0.625),
)


def finished(folder: Path, task: Task, reference: str, model: BaseModel, seed: int = 0) -> Path:
    """Write a program directory as `p -> w` does, and return it; another seed gives another program."""
    torch.manual_seed(seed)
    base = AutoModelForCausalLM.from_pretrained(model.path)
    adapted = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    peft = folder / f"peft-{seed}"
    adapted.save_pretrained(peft)
    adapter = AdapterRef("adapter", adapter_sha256(peft))
    demos = {"shade": ({"thing": "sky", "dark": False},), "paint": ()}
    states = {name: replace(state, demos=demos[name], adapter=adapter) for name, state in vanilla_states(task).items()}
    program = Program(reference, model.id, model.revision, states, {"closed": "scored"}, lineage=LINEAGE)
    write_program(program, folder / f"program-{seed}", {"adapter": peft})
    return folder / f"program-{seed}"
