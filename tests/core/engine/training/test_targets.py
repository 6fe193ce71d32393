"""Which layers get LoRA weights: names that no layer has are refused before the training."""

import json
from pathlib import Path
from typing import Any

import pytest

from bt_core.config import EngineConfig, LoraConfig
from bt_core.engine.base import EngineAdapter, Message, Request, TrainingRow
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.training.job import TrainingJob
from bt_core.engine.training.train import train_adapter
from bt_core.errors import ModelError
from bt_core.models import BaseModel
from bt_core.program import adapter_sha256

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
            "names `v_porj`, which is no layer of the model: name some of down_proj, .*q_proj, up_proj",
        ),
        (("proj",), "names `proj`, which is no layer"),
        (("q_proj", "all-linear"), "names `all-linear`, which is no layer"),
        (("q_proj", "lm_head"), "names `lm_head`, which is the layer of logits"),
    ],
)
def test_names_that_cannot_be_trained_are_refused(
    tiny_model: BaseModel, tmp_path: Path, targets: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ModelError, match=sentence):
        _train(tiny_model, tmp_path, *targets)


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
