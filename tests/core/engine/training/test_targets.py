"""Which layers get LoRA weights: names that no layer has are refused before the training."""

import json
from pathlib import Path
from typing import Any

import pytest

from bt_core.config import EngineConfig, LoraConfig
from bt_core.engine.base import EngineAdapter, Message, Request, TrainingRow
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.training.job import MemoryPlan, TrainingJob
from bt_core.engine.training.memory import training_need
from bt_core.engine.training.targets import check_names
from bt_core.engine.training.train import train_adapter
from bt_core.errors import ModelError
from bt_core.models import BaseModel
from bt_core.program import adapter_sha256
from bt_core.steps.prepare import prepare

ROWS = tuple(TrainingRow((Message("user", f"Thing {n}"),), "blue") for n in range(2))
CPU = EngineConfig(device="cpu")


def _train(model: BaseModel, folder: Path, *targets: str) -> dict[str, Any]:
    settings = LoraConfig(rank=2, epochs=1, batch_size=2, target_modules=targets)
    train_adapter(TrainingJob(model, ROWS, (), settings, CPU, 0), folder)
    config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text())
    return config


@pytest.mark.parametrize(
    ("targets", "sentence"),
    [
        (
            ("q_proj", "v_porj"),
            "names `v_porj`, which is no linear layer of the model: name some of down_proj, .*q_proj, up_proj",
        ),
        (("proj",), "names `proj`, which is no linear layer"),
        (("embed_tokens",), "names `embed_tokens`, which is no linear layer"),
        (("self_attn",), "names `self_attn`, which is no linear layer"),
        (("q_proj", "all-linear"), "names `all-linear`, which is no linear layer"),
        (("q_proj", "lm_head"), "names `lm_head`, which is the layer of logits"),
    ],
)
def test_names_that_cannot_be_trained_are_refused(
    tiny_model: BaseModel, tmp_path: Path, targets: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ModelError, match=sentence):
        _train(tiny_model, tmp_path, *targets)


@pytest.mark.parametrize("name", ["v_porj", "proj", "all-linear", "model.layers.9.mlp.up_proj"])
def test_names_that_no_file_of_the_model_has_are_refused_at_the_start(tiny_model: BaseModel, name: str) -> None:
    names = "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj, or all-linear alone"
    with pytest.raises(ModelError, match=f"names `{name}`, which is no layer of the model: name some of {names}"):
        check_names(tiny_model, ["q_proj", name])


def test_prepare_refuses_names_before_anything_is_paid(
    tiny_model: BaseModel, tmp_path: Path, tiny_folder: Path
) -> None:
    parts = [tmp_path / name for name in ("train", "val", "test", "program")]
    settings = {"task": "iris", "model": str(tiny_folder), "w": {"target_modules": ["q_porj"]}}
    with pytest.raises(ModelError, match="`q_porj`, which is no layer of the model"):
        prepare(settings, *parts)


def test_the_estimate_of_memory_knows_all_linear_and_paths(tiny_model: BaseModel) -> None:
    def adapter(*targets: str) -> int:
        settings = LoraConfig(rank=2, target_modules=targets)
        need = training_need(tiny_model, settings, MemoryPlan(1, False), 10, 2, 4)
        assert need is not None
        return need.adapter

    everything = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert adapter("all-linear") == adapter(*everything) > adapter("q_proj") == adapter("self_attn.q_proj") > 0


@pytest.mark.parametrize(
    "targets", [("all-linear",), ("self_attn.q_proj", "mlp.up_proj"), ("model.layers.1.mlp.up_proj",)]
)
def test_what_is_trained_is_loaded(tiny_model: BaseModel, tmp_path: Path, targets: tuple[str, ...]) -> None:
    config = _train(tiny_model, tmp_path, *targets)
    adapter = EngineAdapter(tmp_path, adapter_sha256(tmp_path))
    engine = TransformersEngine(tiny_model, CPU)
    asked = Request((Message("user", "Thing 1"),), labels=("blue", "red"))
    plain, tuned = engine.generate([asked, Request(asked.messages, adapter, labels=asked.labels)])
    assert plain.label_logprobs != tuned.label_logprobs
    if targets == ("all-linear",):
        kinds = {name.rpartition(".")[2] for name in config["target_modules"]}
        assert kinds == {"down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"}
