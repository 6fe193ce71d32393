"""The model card of a bundle."""

import re
import runpy
from dataclasses import replace
from pathlib import Path

import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM

from bt_core.bundle import publish
from bt_core.bundle.card import model_card
from bt_core.program import read_program

TASK = "tests.core.toy:task"


def test_the_card_is_one_of_hugging_faces(programs: tuple[Path, Path], tmp_path: Path) -> None:
    publish(programs[0], str(tmp_path / "bundle"))
    card = ModelCard.load(tmp_path / "bundle" / "README.md")
    program = read_program(programs[0])
    assert (card.data.base_model, card.data.library_name) == (None, "peft")  # a folder, which others do not have
    assert str(program.model) not in card.content
    assert str(tmp_path) not in card.content
    assert f"on a model that was in a folder (content `{program.model_revision[:12]}`)" in card.text
    assert card.data.pipeline_tag == "text-generation"
    assert {"dspy", "lora"} <= set(card.data.tags)
    assert card.data.license is None
    (result,) = card.data.eval_results
    assert (result.metric_value, result.dataset_type) == (0.625, TASK)
    assert f"bt predict BUNDLE --task {TASK} thing=..." in card.text
    assert "this decoding: closed scored." in card.text
    assert "What it scored" not in card.text
    assert "vllm serve BASE --enable-lora --max-lora-rank 8 --lora-modules adapter=BUNDLE/adapter" in card.text
    assert "| 2.w | w | 0 | 0.500 | 0.625 | `bbbbbbbbbbbb` |" in card.text
    assert "They are about these programs: another seed may give others." in card.text


def test_the_card_names_the_hubs_model_and_the_test_score(programs: tuple[Path, Path], tmp_path: Path) -> None:
    state = replace(read_program(programs[0]), model="acme/tiny", model_revision="c0ffee" * 6 + "c0ff")
    card = ModelCard(model_card(state, programs[0], f"s3://data/{tmp_path.name}", "Test score: 0.750."))
    assert card.data.base_model == "acme/tiny"
    assert "LoRA adapters on `acme/tiny`, revision `c0ffeec0ffee" in card.text
    assert "## What it scored\n\nTest score: 0.750.\n" in card.text
    assert f"bt predict s3://data/{tmp_path.name} --task {TASK} thing=..." in card.text
    embedded = model_card(replace(state, model="smollm2-135m-instruct"), programs[0], "bundle")
    assert "on a 4-bit copy of `HuggingFaceTB/SmolLM2-135M-Instruct`, revision `12fd25f" in embedded


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
