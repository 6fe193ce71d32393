"""When memory runs out, batches and micro-batches get smaller, and the answers stay the same.

Each test limits the address space of a process of its own, so that allocations really fail. Memory that such a process
frees returns to the system at once (`MALLOC_MMAP_THRESHOLD_`). Otherwise the C library keeps some of it, which counts
as used although it is free, and how much differs from run to run.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bt_core.engine.local.memory import out_of_memory
from bt_core.engine.training.job import MemoryPlan, memory_plans
from bt_core.models import BaseModel

ROOT = Path(__file__).parents[3]
COMMON = """
import json, resource, sys
from pathlib import Path
from bt_core.config import EngineConfig, LoraConfig
from bt_core.engine.base import Message, Request, Sampling, TrainingRow
from bt_core.models import resolve_model

def limit(spare):
    if spare:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + spare, -1))

model, spare, scratch = resolve_model(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
"""
ENGINE = (
    COMMON
    + """
from bt_core.engine.local.transformers_engine import TransformersEngine

engine = TransformersEngine(model, EngineConfig(device="cpu", batch_tokens=1_000_000))
kind = {kind}
asked = [Request((Message("user", f"{{n}} " + "word " * 150),), **kind) for n in range(3_600)]
engine._scheduler._broad = {broad}
engine.generate(asked[:2])
limit(spare)
answers = engine.generate(asked)
print(json.dumps([engine._scheduler.budget, [[answer.text, *answer.label_logprobs] for answer in answers]]))
"""
)
TRAINING = (
    COMMON
    + """
from bt_core.engine.training.job import TrainingJob
from bt_core.engine.training.train import train_adapter

def train(rows, folder, **settings):
    job = TrainingJob(model, tuple(rows), (), LoraConfig(rank=2, **settings), EngineConfig(device="cpu"), 0)
    return train_adapter(job, folder)

rows = [TrainingRow((Message("user", f"Thing {n}"),), "a long answer of many words " * 6) for n in range(32)]
train(rows[:2], scratch / "warm", epochs=1)
limit(spare)
curve = train(rows, scratch / "adapter", epochs=2, batch_size=32)
print(json.dumps([curve.micro_batch, curve.loss]))
"""
)


def _printed(code: str, model: BaseModel, spare: int, scratch: Path) -> Any:
    command = [sys.executable, "-W", "ignore", "-c", code, str(model.path), str(spare), str(scratch)]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "broad", "spare"),
    [
        ("dict(labels=('yes', 'no'))", None, 400 << 20),  # one pass over all tokens, as on a GPU
        ("dict(sampling=Sampling(max_tokens=2))", 1_280, 400 << 20),  # the keys and values of all rows
    ],
)
def test_batches_are_halved_until_they_fit(
    tiny_model: BaseModel, tmp_path: Path, kind: str, broad: int | None, spare: int
) -> None:
    code = ENGINE.format(kind=kind, broad=broad)
    budget, expected = _printed(code, tiny_model, 0, tmp_path)
    assert budget == 1_000_000
    smaller, answers = _printed(code, tiny_model, spare, tmp_path)
    assert smaller < 500_000
    for ours, theirs in zip(answers, expected, strict=True):
        assert ours[0] == theirs[0]
        assert ours[1:] == pytest.approx(theirs[1:], abs=1e-5)


@pytest.mark.slow
def test_passes_that_are_split_need_little_memory(tiny_model: BaseModel, tmp_path: Path) -> None:
    code = ENGINE.format(kind="dict(labels=('yes', 'no'))", broad=1_280)
    # oneDNN compiles its kernels for the processor: beside them, 80 MB were too little on one with AVX512-FP16. Without
    # splitting, 400 MB are too little (above).
    budget, _ = _printed(code, tiny_model, 128 << 20, tmp_path)
    assert budget == 1_000_000


@pytest.mark.slow
def test_training_uses_smaller_micro_batches_with_the_same_loss(tiny_model: BaseModel, tmp_path: Path) -> None:
    whole, expected = _printed(TRAINING, tiny_model, 0, tmp_path)
    micro_batch, loss_curve = _printed(TRAINING, tiny_model, 700 << 20, tmp_path)
    assert whole == 32
    assert micro_batch < 32
    assert [step for step, _ in loss_curve] == [1, 2]
    assert [loss for _, loss in loss_curve] == pytest.approx([loss for _, loss in expected], abs=1e-4)


def test_every_memory_plan_divides_the_batch() -> None:
    assert memory_plans(12) == [MemoryPlan(12, False), *(MemoryPlan(size, True) for size in (12, 6, 4, 3, 2, 1))]


def test_other_errors_are_not_taken_for_out_of_memory() -> None:
    assert not out_of_memory(RuntimeError("shapes do not match"))
    assert out_of_memory(MemoryError())
    assert out_of_memory(RuntimeError("could not create a primitive"))
