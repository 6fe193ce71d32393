"""Training that is killed, spread over processes, or too big for the memory leads to the same adapter."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bt_core.config import EngineConfig, LoraConfig, resolve_config
from bt_core.engine.base import Message, TrainingRow
from bt_core.engine.cache_keys import training_key
from bt_core.engine.local.transformers_engine import load_base
from bt_core.engine.training.checkpoints import ORDER_FILE, exclusive, latest
from bt_core.engine.training.job import Curve, MemoryPlan, TrainingJob, dump_job, load_job, memory_plans
from bt_core.engine.training.layers import with_lora
from bt_core.engine.training.memory import FLOAT, TRAINED, training_need
from bt_core.engine.training.rows import Collator
from bt_core.engine.training.train import train_adapter
from bt_core.errors import ConfigError
from bt_core.models import BaseModel
from bt_core.steps.check.cost import Measured, estimate
from bt_core.steps.check.gpu_cost import Card, gpu_cost, stage_costs
from bt_core.strategy import parse_strategy

ROOT = Path(__file__).parents[4]
CPU = EngineConfig(device="cpu")
ROWS = tuple(TrainingRow((Message("user", f"Thing {n}" + " more" * n),), "an answer " * (n % 3 + 1)) for n in range(10))
HELD = tuple(TrainingRow((Message("user", f"Other {n}"),), "an answer") for n in range(3))
#: With dropout and shuffled rows, both of which draw random numbers all the time.
SETTINGS = LoraConfig(rank=2, epochs=3, batch_size=2, dropout=0.1, learning_rate=1e-3, checkpoint_steps=2)
#: Trains, and kills itself after a whole checkpoint or while it writes one.
KILLED = """
import os, signal, sys
from pathlib import Path
from transformers import Trainer
from bt_core.engine.training.checkpoints import Checkpoints
from bt_core.engine.training.job import TrainingJob
from bt_core.engine.training.train import train_adapter
from tests.core.engine.training.test_training_scale import CPU, HELD, ROWS, SETTINGS
from bt_core.models import resolve_model

model, folder, step, moment = resolve_model(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
owner, name = (Checkpoints, "on_step_end") if moment == "between" else (Trainer, "_save_optimizer_and_scheduler")
original = getattr(owner, name)

def killed(self, *arguments, **more):
    state = arguments[1] if moment == "between" else self.state
    if state.global_step == step:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, *arguments, **more)

setattr(owner, name, killed)
job = TrainingJob(model, ROWS, HELD, SETTINGS, CPU, 0)
train_adapter(job, folder / "adapter", folder / "checkpoints")
"""


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _train(model: BaseModel, folder: Path, settings: LoraConfig = SETTINGS, checkpoints: Path | None = None) -> Curve:
    return train_adapter(TrainingJob(model, ROWS, HELD, settings, CPU, 0), folder, checkpoints)


@pytest.fixture(scope="module")
def whole(tiny_model: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Curve]:
    """The adapter and curve of a training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, _train(tiny_model, folder)


@pytest.mark.parametrize(
    ("step", "moment", "resumed"),
    [(9, "between", 8), (10, "saving", 8)],
    ids=["within the second epoch", "while a checkpoint is written"],
)
def test_a_killed_training_comes_to_the_same_adapter(
    step: int, moment: str, resumed: int, whole: tuple[Path, Curve], tiny_model: BaseModel, tmp_path: Path
) -> None:
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(tiny_model.path), str(tmp_path), str(step), moment]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2_000:]
    assert not (tmp_path / "adapter").exists()
    kept = tmp_path / "checkpoints" / "2"
    written = {path.name for path in kept.iterdir()}
    assert (f"checkpoint-{step}" in written) == (moment == "saving")
    found = latest(kept)
    assert found is not None
    assert found.name == f"checkpoint-{resumed}"
    curve = _train(tiny_model, tmp_path / "adapter", checkpoints=tmp_path / "checkpoints")
    assert _bytes(tmp_path / "adapter") == _bytes(whole[0])
    assert (curve.loss, curve.val_loss, curve.best_epoch) == (whole[1].loss, whole[1].val_loss, whole[1].best_epoch)
    assert not (tmp_path / "checkpoints").exists()


def test_checkpoints_within_an_epoch_change_nothing(
    whole: tuple[Path, Curve], tiny_model: BaseModel, tmp_path: Path
) -> None:
    fewer = SETTINGS.model_copy(update={"checkpoint_steps": 0})
    _train(tiny_model, tmp_path / "adapter", fewer)
    assert _bytes(tmp_path / "adapter") == _bytes(whole[0])
    assert training_key({}, ROWS, HELD, fewer, 0) == training_key({}, ROWS, HELD, SETTINGS, 0)


def test_a_half_written_checkpoint_is_ignored(tmp_path: Path) -> None:
    for number in (5, 20, 100):
        (tmp_path / f"checkpoint-{number}").mkdir()
    assert latest(tmp_path) is None
    for number in (5, 20):
        (tmp_path / f"checkpoint-{number}").mkdir()
        (tmp_path / f"checkpoint-{number}" / ORDER_FILE).touch()
    (tmp_path / "checkpoint-100").mkdir()
    assert latest(tmp_path) == tmp_path / "checkpoint-20"
    assert not (tmp_path / "checkpoint-100").exists()


def test_two_trainings_never_share_checkpoints(tmp_path: Path) -> None:
    folder = tmp_path / "key"
    with exclusive(folder) as first, exclusive(folder) as second:
        assert first == folder
        assert second != folder
    with exclusive(folder) as third:
        assert third == folder


def test_processes_train_one_adapter_together(whole: tuple[Path, Curve], tiny_model: BaseModel, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"processes": 2, "dropout": 0.0, "epochs": 1})
    curve = _train(tiny_model, tmp_path / "adapter", settings)
    alone = _train(tiny_model, tmp_path / "alone", settings.model_copy(update={"processes": 1}))
    assert set(_bytes(tmp_path / "adapter")) == {"adapter_config.json", "adapter_model.safetensors"}
    assert len(curve.loss) == len(alone.loss) == 5
    assert curve.micro_batch == 1
    # Every row once, in another order: the mean of all steps' losses agrees, roughly, since weights move meanwhile.
    assert sum(loss for _, loss in curve.loss) == pytest.approx(sum(loss for _, loss in alone.loss), rel=0.05)
    assert curve.val_loss[0][1] == pytest.approx(alone.val_loss[0][1], rel=0.02)


def test_a_job_travels_as_json(tiny_model: BaseModel, tmp_path: Path) -> None:
    job = TrainingJob(tiny_model, ROWS, HELD, SETTINGS, CPU, 7, "2.w")
    path, plan = tmp_path / "job.json", MemoryPlan(2, True)
    path.write_text(dump_job(job, plan))
    assert load_job(path) == (job, plan)
    path.write_text(dump_job(job, plan, same_machine=False))
    assert load_job(path) == (job, plan)


def test_micro_batches_start_where_asked() -> None:
    assert memory_plans(8, 4) == [MemoryPlan(4, False), MemoryPlan(4, True), MemoryPlan(2, True), MemoryPlan(1, True)]
    assert LoraConfig(batch_size=8, processes=2, micro_batch=4)
    with pytest.raises(ConfigError, match=r"`w` has a `batch_size` of 8, which is no multiple .* \(6\)"):
        resolve_config({"task": "toy", "w": {"batch_size": 8, "processes": 2, "micro_batch": 3}})


def test_four_bits_need_a_library_and_a_gpu(tiny_model: BaseModel, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"quantize": "4bit"})
    with pytest.raises(ConfigError, match=r"`w.quantize` is 4bit, but .* leave `w.quantize` at none"):
        _train(tiny_model, tmp_path / "adapter", settings)


@pytest.mark.parametrize("more", [(), ("gate_proj", "up_proj", "down_proj")], ids=["attention", "all layers"])
def test_the_memory_estimate_is_the_memory_of_a_step(more: tuple[str, ...], tiny_model: BaseModel) -> None:
    settings = LoraConfig(rank=4, target_modules=(*LoraConfig().target_modules, *more))
    length, answer, many = 96, 5, 4
    model = with_lora(load_base(tiny_model, CPU)[0], settings).train()
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in weights:
            kept[memory.data_ptr()] = memory.nbytes()
        return tensor

    rows = [
        {"input_ids": [7] * (length - n), "labels": [-100] * (length - n - answer) + [7] * answer} for n in range(many)
    ]
    batch = Collator(2)(rows)
    del batch["labels"]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(**batch, logits_to_keep=answer + 1, use_cache=False)
    needed = training_need(tiny_model, settings, MemoryPlan(many, False), length, answer, FLOAT)
    assert needed is not None
    assert needed.activations == pytest.approx(sum(kept.values()), rel=0.01)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert needed.adapter == sum(weight.numel() for weight in trained) * TRAINED
    assert needed.weights == sum(weight.nbytes for weight in model.parameters()) - sum(w.nbytes for w in trained)
    smaller = training_need(tiny_model, settings, MemoryPlan(1, True), length, answer, FLOAT)
    assert smaller is not None
    assert smaller.activations < needed.activations / many


def test_stages_add_up_to_the_strategy() -> None:
    config, measured = resolve_config({"task": "toy"}), Measured(2.0, 300.0, 20.0, 60.0, 200.0)
    card, strategy = Card(tflops=100.0, bandwidth=2.0, share=0.5), parse_strategy("p -> w -> p")
    stages = stage_costs(strategy, config, measured, 10**9, card)
    whole = estimate(strategy, config, measured)
    assert [stage.stage for stage in stages] == ["1.p", "2.w", "3.p", "data and test"]
    assert sum(stage.prompt_tokens for stage in stages) == whole.prompt_tokens
    assert sum(stage.completion_tokens for stage in stages) == whole.completion_tokens
    assert [stage.train_tokens for stage in stages] == [0, whole.train_tokens, 0, 0]
    answered = whole.prompt_tokens + whole.completion_tokens
    products = 1e9 * (2 * answered + 4 * whole.train_tokens) / 50e12
    reading = 2e9 * whole.completion_tokens / config.engine.in_flight / 2e12
    assert sum(stage.minutes for stage in stages) == pytest.approx((products + reading) / 60)


def test_a_run_is_estimated_from_three_rows(tiny_model: BaseModel) -> None:
    found = gpu_cost({"task": "continents", "model": str(tiny_model.path)}, parse_strategy("w"), Card(1.0, 1.0, 1.0))
    assert found is not None
    assert found.memory is not None
    assert all(stage.prompt_tokens > 0 and stage.minutes > 0 for stage in found.stages)
    assert found.record()["memory"]["weights"] == found.memory.weights > 0
