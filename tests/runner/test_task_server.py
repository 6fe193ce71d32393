"""Tasks that are forked from the task server see and do the same as tasks in fresh interpreters."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from bt_core.errors import WorldError
from bt_runner.events import Event, RunWarning, TaskStarted
from bt_runner.run import run_locally
from bt_runner.task_server import ENGINE, FIRST, LATER, TRACKING
from bt_runner.warm_tasks import COLD, RESTARTED
from bt_runner.worker import start_worker
from tests.pipelines.tiny import compiled, tiny_fail, tiny_sleep
from tests.runner.processes import EARLY, tiny_describe, tiny_draw, tiny_early, tiny_fork, tiny_orphan
from tests.runner.test_run import ROOT, is_running, wait_until

SHELL = "sh"


def describe(pipeline: object, folder: Path, warm: bool) -> tuple[dict[str, Any], str]:
    """What the task saw of its process, and the name of the program that had started it."""
    folder.mkdir()
    environment = {"TINY_VARIABLE": "a value", "MLFLOW_TRACKING_URI": "sqlite:///of-the-run.db"}
    run = run_locally(compiled(pipeline, folder), folder / "root", environment=environment, warm=warm)
    task = run.tasks["describe"]
    return json.loads(task.artifacts["described"].read_text()), str(task.parameters["Output"])


def test_a_warm_task_sees_what_a_cold_one_sees(tmp_path: Path) -> None:
    cold, shell = describe(tiny_describe, tmp_path / "cold", warm=False)
    warm, server = describe(tiny_describe, tmp_path / "warm", warm=True)

    assert shell == SHELL
    assert server != SHELL
    added = [name for name in warm["names"] if name not in cold["names"]]
    assert all(name.startswith("MLFLOW_") for name in added), "every recording task sets these before it imports MLflow"
    warm["names"] = [name for name in warm["names"] if name not in added]
    warm["variables"] = {name: value for name, value in warm["variables"].items() if name not in added}
    assert warm == cold
    assert warm["tracking"] == "sqlite:///of-this-task.db"


def test_a_task_that_sets_a_variable_which_libraries_may_read_early_starts_cold(tmp_path: Path) -> None:
    seen, parent = describe(tiny_early, tmp_path / "early", warm=True)

    assert parent == SHELL
    assert seen["variables"][EARLY] == "1"
    assert seen["tracking"] == "sqlite:///of-the-run.db"


def test_unseeded_numbers_differ_between_tasks(tmp_path: Path) -> None:
    run = run_locally(compiled(tiny_draw, tmp_path), tmp_path / "root")
    drawn = [task.parameters["Output"].split() for task in run.tasks.values()]

    assert all(one != other for one, other in zip(*drawn, strict=True))


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize(
    ("how", "reason"),
    [("segfault", "Segmentation fault"), ("exit", "3/6")],
)
def test_a_crash_is_reported_alike_by_warm_and_cold_tasks(tmp_path: Path, how: str, reason: str, warm: bool) -> None:
    with pytest.raises(WorldError) as caught:
        run_locally(compiled(tiny_fail, tmp_path), tmp_path / "root", {"how": how}, warm=warm)

    assert "The task 1.p failed" in str(caught.value)
    assert reason in str(caught.value)


def test_a_child_of_the_task_does_not_report_the_end_of_the_task(tmp_path: Path) -> None:
    run = run_locally(compiled(tiny_fork, tmp_path), tmp_path / "root")

    assert run.tasks["fork"].parameters["Output"] == "3"


def test_a_worker_ends_when_its_caller_has_nothing_to_run(tmp_path: Path) -> None:
    with start_worker({}) as worker:
        assert worker.pid in members(worker.pid)
    wait_until(lambda: not members(worker.pid))


def test_a_worker_that_was_started_before_runs_a_pipeline(tmp_path: Path) -> None:
    with start_worker({"MLFLOW_TRACKING_URI": "sqlite:///of-the-run.db"}) as worker:
        run = run_locally(compiled(tiny_describe, tmp_path), tmp_path / "root", worker=worker)

    assert run.tasks["describe"].parameters["Output"] != SHELL


def test_a_server_that_died_is_started_again_with_a_sentence(tmp_path: Path) -> None:
    events: list[Event] = []
    run = run_locally(compiled(tiny_orphan, tmp_path), tmp_path / "root", on_event=events.append)

    assert run.tasks["kill-server"].parameters["Output"] == "killed it"
    assert run.tasks["fork"].parameters["Output"] == "3"
    assert run.tasks["describe"].parameters["Output"] != SHELL, "not cold"
    assert [event for event in events if isinstance(event, RunWarning)] == [RunWarning(RESTARTED)]
    assert f"warning: {RESTARTED}" in run.log.read_text()


def test_a_task_starts_cold_where_no_server_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that dies as soon as it is started, again and again."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "sitecustomize.py").write_text(
        "import os, sys\nif 'bt_runner.task_server' in sys.orig_argv:\n    os._exit(1)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    events: list[Event] = []
    run = run_locally(compiled(tiny_describe, tmp_path), tmp_path / "root", on_event=events.append)

    assert run.tasks["describe"].parameters["Output"] == SHELL
    assert [event for event in events if isinstance(event, RunWarning)] == [RunWarning(RESTARTED), RunWarning(COLD)]


def test_nothing_outlives_a_worker_process_that_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    processes: list[int] = []

    def kill_the_worker(event: Event) -> None:
        if isinstance(event, TaskStarted):
            wait_until(lambda: pid_file.is_file() and pid_file.read_text())
            worker = os.getpgid(int(pid_file.read_text()))
            processes.extend(members(worker))
            os.kill(worker, signal.SIGKILL)

    with pytest.raises(WorldError):
        run_locally(
            compiled(tiny_sleep, tmp_path), tmp_path / "root", {"pid_file": str(pid_file)}, on_event=kill_the_worker
        )
    assert len(processes) == 4, "worker, server, supervisor, task"
    wait_until(lambda: not is_running(pid_file))
    wait_until(lambda: not any(Path(f"/proc/{process}").exists() for process in processes))


def members(group: int) -> list[int]:
    """The processes of a process group."""
    processes = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [process for process in processes if _group(process) == group]


def _group(process: int) -> int | None:
    try:
        return os.getpgid(process)
    except ProcessLookupError:
        return None


def test_the_modules_that_the_server_imports_exist_and_include_no_task() -> None:
    assert all(find_spec(name) for name in FIRST + TRACKING + ENGINE + LATER)
    assert not any(name.startswith("bt_tasks") for name in FIRST + TRACKING + ENGINE + LATER)


#: A program that imports as the server does and then forks; the child computes with the libraries that it inherited.
FORK = """
import json, logging, os, threading
from pathlib import Path
from bt_tracking.connection import quieten
from bt_runner.task_server import ENGINE, FIRST, LATER, TRACKING, preload, prepare_loading

def files():
    return sorted(os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.exists())

before = files()
quieten()
preload(FIRST + TRACKING + ENGINE + LATER)
prepare_loading()
child = os.fork()
if child == 0:
    import numpy, pyarrow, torch
    ones, tensor = numpy.ones((500, 500)), torch.ones(500, 500)
    print(json.dumps([float((ones @ ones).sum()), float((tensor @ tensor).sum()), pyarrow.array([1, 2]).sum().as_py()]))
else:
    os.waitpid(child, 0)
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    seen = {"python": threading.active_count(), "native": threads, "opened": files() != before}
    print(json.dumps(seen | {"handlers": len(logging.getLogger().handlers)}))
"""


def test_a_process_with_the_servers_imports_can_be_forked() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], cwd=ROOT, capture_output=True, text=True, check=True)
    child, server = map(json.loads, done.stdout.splitlines())

    assert child == [500.0**3, 500.0**3, 3]
    assert server["python"] == 1
    # OpenBLAS has ended its threads for the fork; pyarrow's jemalloc has started its own one again.
    assert len([name for name in server["native"] if name != "jemalloc_bg_thd"]) == 1
    assert not server["opened"]
    assert server["handlers"] == 0
