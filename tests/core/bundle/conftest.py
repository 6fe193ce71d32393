"""Two programs to publish, a place for them, and an S3 server that is asked once."""

from pathlib import Path

import pytest

from bt_core.models import BaseModel
from bt_core.storage import PATIENCE_VARIABLE
from tests.core import toy
from tests.core.programs import finished
from tests.s3 import Server, use

TASK = "tests.core.toy:task"


@pytest.fixture(scope="module")
def programs(tiny_model: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("programs")
    return finished(folder, toy.task, TASK, tiny_model), finished(folder, toy.task, TASK, tiny_model, seed=1)


@pytest.fixture(autouse=True)
def own_place(s3: Server, tiny_model: BaseModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A store that is asked once, and an empty cache of models and programs."""
    use(monkeypatch, s3.endpoint)
    monkeypatch.setenv(PATIENCE_VARIABLE, "0")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=["s3", "folder"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place in S3 or on this machine where nothing is yet."""
    return f"s3://data/{tmp_path.name}/bundle" if request.param == "s3" else str(tmp_path / "bundle")
