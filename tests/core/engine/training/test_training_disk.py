"""A cache that cannot be written costs a killed training its beginning, and never the run."""

from pathlib import Path

import pytest

from bt_core.config import EngineConfig, LoraConfig
from bt_core.engine.base import Message, TrainingRow
from bt_core.engine.training.job import TrainingJob, memory_plans
from bt_core.engine.training.train import train_adapter
from bt_core.errors import TrainingError
from bt_core.models import BaseModel
from bt_core.program import adapter_sha256

ROWS = tuple(TrainingRow((Message("user", f"Thing {n}"),), f"answer {n}") for n in range(4))


@pytest.fixture(scope="module")
def job(tiny_model: BaseModel) -> TrainingJob:
    settings = LoraConfig(rank=2, epochs=2, batch_size=2)
    return TrainingJob(tiny_model, ROWS, ROWS[:2], settings, EngineConfig(device="cpu"), 0, "1.w adapter")


@pytest.fixture(scope="module")
def undisturbed(job: TrainingJob, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("undisturbed")
    train_adapter(job, folder)
    return adapter_sha256(folder)


def _block(checkpoints: Path, job: TrainingJob) -> None:
    """Put files where checkpoints would go: they cannot be written, as on a disk that has filled up meanwhile."""
    plan = next(iter(memory_plans(job.settings.batch_size, job.settings.micro_batch)))
    (checkpoints / plan.name).mkdir(parents=True)
    for step in range(1, 9):
        (checkpoints / plan.name / f"checkpoint-{step}").write_text("in the way")


def test_a_cache_that_cannot_be_made_is_warned_about(
    job: TrainingJob, undisturbed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("a file")
    train_adapter(job, tmp_path / "adapter", tmp_path / "cache" / "checkpoints")
    assert adapter_sha256(tmp_path / "adapter") == undisturbed
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert f"cannot be written into {tmp_path}/cache/checkpoints" in warning
    assert warning.endswith("A killed training will start again from its beginning.")


def test_a_disk_that_fills_up_starts_the_training_again_elsewhere(
    job: TrainingJob, undisturbed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _block(tmp_path / "checkpoints", job)
    train_adapter(job, tmp_path / "adapter", tmp_path / "checkpoints")
    assert adapter_sha256(tmp_path / "adapter") == undisturbed
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert "The training starts again, with checkpoints in a temporary folder." in warning
    assert not (tmp_path / "checkpoints").exists()


def test_a_temporary_folder_that_is_full_is_one_sentence(
    job: TrainingJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "scratch"
    made.mkdir()
    _block(made, job)
    monkeypatch.setattr("bt_core.engine.training.checkpoints.tempfile.mkdtemp", lambda *_: str(made))
    with pytest.raises(
        TrainingError, match=r"checkpoints of a training cannot be written into .*scratch.*: check the disk"
    ):
        train_adapter(job, tmp_path / "adapter")
