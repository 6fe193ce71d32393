"""The model card of a bundle."""

import re
import runpy
from pathlib import Path

import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM

from bt_core.bundle import publish
from bt_core.program import read_program

TASK = "tests.core.toy:task"


def test_the_card_is_one_of_hugging_faces(programs: tuple[Path, Path], tmp_path: Path) -> None:
    publish(programs[0], str(tmp_path / "bundle"))
    card = ModelCard.load(tmp_path / "bundle" / "README.md")
    program = read_program(programs[0])
    assert (card.data.base_model, card.data.library_name) == (program.model, "peft")
    assert card.data.pipeline_tag == "text-generation"
    assert {"dspy", "lora"} <= set(card.data.tags)
    assert card.data.license is None
    (result,) = card.data.eval_results
    assert (result.metric_value, result.dataset_type) == (0.625, TASK)
    assert f"bt predict {tmp_path / 'bundle'} --task {TASK} thing=..." in card.text
    assert "vllm serve BASE --enable-lora --max-lora-rank 8 --lora-modules adapter=BUNDLE/adapter" in card.text
    assert "| 2.w | w | 0 | 0.500 | 0.625 | `bbbbbbbbbbbb` |" in card.text
    assert "They are about these programs: another seed may give others." in card.text


def test_the_cards_peft_lines_load_the_weights(programs: tuple[Path, Path], tiny_folder: Path, tmp_path: Path) -> None:
    publish(programs[0], str(tmp_path / "bundle"))
    text = (tmp_path / "bundle" / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    (tmp_path / "serve.py").write_text(code)
    names = runpy.run_path(str(tmp_path / "serve.py"), {"BASE": str(tiny_folder), "BUNDLE": str(tmp_path / "bundle")})
    tokens = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        adapted = names["model"](tokens).logits
        base = AutoModelForCausalLM.from_pretrained(tiny_folder)(tokens).logits
    assert not torch.allclose(adapted, base)
