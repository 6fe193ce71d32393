"""What a training in a TrainJob says of its progress: lines in its log, and reports to Kubeflow Trainer."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from bt_core.config import EngineConfig, LoraConfig
from bt_core.engine.base import Message, TrainingRow
from bt_core.engine.training.job import TrainingJob
from bt_core.engine.training.train import train_adapter
from bt_core.models import BaseModel

ROWS = tuple(TrainingRow((Message("user", f"Thing {n}"),), "an answer") for n in range(4))


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What Trainer's status server is told; its variables are those of a pod."""
    told: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(
                (self.headers["Authorization"], json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            )
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    (tmp_path / "token").write_text("a-token\n")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_URL", f"http://127.0.0.1:{server.server_port}/status")
        monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_TOKEN", str(tmp_path / "token"))
        yield told
        server.shutdown()


def test_a_trainjob_reports_progress_to_trainer_and_to_its_log(
    reports: list[Any],
    tiny_model: BaseModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PET_NODE_RANK", "0")
    settings = LoraConfig(rank=2, epochs=2, batch_size=2)
    job = TrainingJob(tiny_model, ROWS, (), settings, EngineConfig(device="cpu"), 0, "1.w adapter")
    curve = train_adapter(job, tmp_path / "adapter")
    (_, first), *_, (token, last) = reports
    assert token == "Bearer a-token"
    assert (first["trainerStatus"]["progressPercentage"], last["trainerStatus"]["progressPercentage"]) == (0, 100)
    assert last["trainerStatus"]["estimatedRemainingSeconds"] == 0
    assert "loss" in {metric["name"] for metric in last["trainerStatus"]["metrics"]}
    said = [line for line in capsys.readouterr().out.splitlines() if "s left" in line]
    assert said[0].startswith(f"1.w adapter: step 1 of 4, loss {curve.loss[0][1]:.4f}, ")
    assert said[-1] == f"1.w adapter: step 4 of 4, loss {curve.loss[3][1]:.4f}, 0 s left"
