"""A new store's file: made once, with what MLflow itself would make."""

import functools
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from bt_tracking.connection import RetryingClient
from bt_tracking.server import local_store
from bt_tracking.settings import TrackingSettings

MAKE_AN_EXPERIMENT = """
import sys
import time
from bt_tracking.connection import RetryingClient
from bt_tracking.settings import TrackingSettings

print("ready", flush=True)
sys.stdin.readline()
RetryingClient(TrackingSettings(sys.argv[1])).create_experiment(sys.argv[2])
"""


def _ready(program: str, *arguments: str) -> "subprocess.Popen[str]":
    """A process that has imported what it needs, and waits for a line."""
    command = [sys.executable, "-c", program, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_processes_that_make_a_store_at_once_share_it(tmp_path: Path) -> None:
    uri, names = local_store(tmp_path / "store"), ["a", "b", "c"]
    processes = [_ready(MAKE_AN_EXPERIMENT, uri, name) for name in names]
    for process in processes:
        process.communicate("go\n")

    assert [process.returncode for process in processes] == [0, 0, 0]
    found = {experiment.name for experiment in RetryingClient(TrackingSettings(uri)).search_experiments()}
    assert found == {*names, "Default"}
    assert {path.name for path in (tmp_path / "store").iterdir()} == {"mlflow.db"}


def test_a_new_store_has_the_tables_that_mlflow_makes(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()  # a file that is there is MLflow's own to fill
    tables = []
    for name in ("empty.db", "new.db"):
        RetryingClient(TrackingSettings(f"sqlite:///{tmp_path / name}")).search_experiments()
        with closing(sqlite3.connect(tmp_path / name)) as database:
            columns = "SELECT m.type, m.name, c.name, c.type FROM sqlite_master m LEFT JOIN pragma_table_info(m.name) c"
            tables.append(sorted(map(str, database.execute(columns))))

    assert len(tables[0]) > 100
    assert tables[0] == tables[1]


LOG_PARAMETERS = """
import sys
import time
from bt_tracking import content
from bt_tracking.connection import RetryingClient
from bt_tracking.settings import TrackingSettings

client = RetryingClient(TrackingSettings(sys.argv[1]))
run = client.get_run(sys.argv[2])
print("ready", flush=True)
for line in sys.stdin:
    content.log_params(client, run, {f"{line.strip()}/{number}": "the same" for number in range(90)})
    print("done", flush=True)
"""


def test_processes_that_log_the_same_parameters_at_once_all_succeed(tmp_path: Path) -> None:
    uri = local_store(tmp_path / "store")
    run = RetryingClient(TrackingSettings(uri)).create_run("0").info.run_id
    processes = [_ready(LOG_PARAMETERS, uri, run) for _ in range(4)]
    for round_ in range(8):
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(f"round{round_}\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0] * 4
    assert len(RetryingClient(TrackingSettings(uri)).get_run(run).data.params) == 8 * 90


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("set_registered_model_alias", ("model", "champion", "1")),
        ("set_registered_model_tag", ("model", "term", "1")),
        ("set_model_version_tag", ("model", "1", "outcome", "kept")),
    ],
)
def test_the_registry_is_written_again_where_another_process_was_first(
    method: str, target: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow looks before it writes, so that two writers at once collide in the database."""
    client = RetryingClient(TrackingSettings(local_store(tmp_path)))
    client.create_registered_model("model")
    client.create_model_version("model", "runs:/0/model", await_creation_for=0)
    mlflow_client = client._client
    write, refused = getattr(mlflow_client, method), []

    @functools.wraps(write)
    def collide_once(*arguments: str) -> None:
        if not refused:
            refused.append("UNIQUE constraint failed: registered_model_aliases.workspace")
            raise MlflowException(f"(sqlite3.IntegrityError) {refused[0]}", BAD_REQUEST)
        write(*arguments)

    monkeypatch.setattr(mlflow_client, method, collide_once)
    getattr(client, method)(*target)

    model, version = client.get_registered_model("model"), client.get_model_version("model", "1")
    written = {**{alias: str(number) for alias, number in model.aliases.items()}, **model.tags, **version.tags}
    assert refused
    assert written == {target[-2]: target[-1]}


@pytest.mark.parametrize(
    ("method", "target", "reason"),
    [
        ("set_experiment_tag", ("0", "view", "wide"), "UNIQUE constraint failed: experiment_tags.key"),
        ("create_experiment", ("other",), "UNIQUE constraint failed: experiment_tags.key"),
        ("create_model_version", ("model", "runs:/0/model"), "Model Version creation error (name=model). Giving up"),
    ],
)
def test_whatever_collides_is_written_again(
    method: str, target: tuple[str, ...], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = RetryingClient(TrackingSettings(local_store(tmp_path)))
    client.create_registered_model("model")
    write, refused = getattr(client._client, method), []

    @functools.wraps(write)
    def collide_once(*arguments: str, **more: object) -> object:
        if not refused:
            refused.append(reason)
            raise MlflowException(reason, BAD_REQUEST)
        return write(*arguments, **more)

    monkeypatch.setattr(client._client, method, collide_once)
    getattr(client, method)(*target)
    assert refused
    written = (
        client.get_experiment("0").tags.get("view"),
        client.get_experiment_by_name("other"),
        client.search_model_versions("name = 'model'"),
    )
    assert sum(map(bool, written)) == 1


def test_what_exists_already_is_not_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own sentence about an experiment quotes the database's."""
    client = RetryingClient(TrackingSettings(local_store(tmp_path), retry_seconds=30.0))
    client.create_experiment("taken")
    before = time.monotonic()
    with pytest.raises(MlflowException, match="UNIQUE constraint failed: experiments"):
        client.create_experiment("taken")
    assert time.monotonic() - before < 5


@pytest.mark.parametrize("name", ["a b", "a#b", "a%20b", "100%", "a?b", "a&b=c", "ä;b", "%41"])
def test_a_store_is_in_the_folder_that_is_named(name: str, tmp_path: Path) -> None:
    """A per cent sign and a question mark mean something else in a URI; `a%20b` was the store of `a b`."""
    folder = tmp_path / name
    client = RetryingClient(TrackingSettings(local_store(folder)))
    experiment = client.create_experiment(name)
    assert (folder / "mlflow.db").is_file()
    assert [path for path in tmp_path.rglob("mlflow.db") if path.parent != folder] == []
    again = RetryingClient(TrackingSettings(local_store(folder)))
    assert again.get_experiment_by_name(name).experiment_id == experiment


RECORD = """
import resource
import sys
from bt_tracking.connection import connect
from bt_tracking.settings import TrackingSettings

with connect(TrackingSettings(sys.argv[1], retry_seconds=0.1), "stage 1.p") as client:
    client.search_experiments()
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))  # no file may grow, as on a full disk
    client.create_experiment("new")
"""


def test_an_error_of_the_database_is_a_sentence_without_mlflows_traceback(empty_store: Path, tmp_path: Path) -> None:
    shutil.copytree(empty_store, tmp_path / "store")
    command = [sys.executable, "-c", RECORD, local_store(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "bt_core.errors.TrackingError: MLflow at sqlite:///" in done.stderr
    assert "sqlalchemy" not in done.stderr
    assert "ERROR mlflow" not in done.stderr
