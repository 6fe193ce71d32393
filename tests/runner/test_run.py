"""`run_locally` on small real pipelines."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bt_core.errors import ConfigError, UserError, WorldError
from bt_runner.container_tasks import split_lines
from bt_runner.events import Event, RunWarning, TaskEnded, TaskOutput, TaskStarted
from bt_runner.messages import MARK
from bt_runner.run import run_locally
from tests.pipelines.tiny import compiled, tiny_fail, tiny_join, tiny_probe, tiny_say, tiny_sleep

ROOT = Path(__file__).parents[2]


def test_outputs_of_every_task_come_back(tmp_path: Path) -> None:
    run = run_locally(compiled(tiny_join, tmp_path), tmp_path / "root", {"text": "né ", "repeat": 3})

    assert set(run.tasks) == {"write", "write-2", "3.join"}
    assert run.tasks["write"].parameters["Output"] == "né " * 3
    assert (run.tasks["write"].artifacts["folder"] / "text.txt").read_text() == "né " * 3
    assert run.tasks["write-2"].title == "2.w a title"
    assert run.tasks["3.join"].artifacts["joined"].is_relative_to(tmp_path / "root")


def test_events_arrive_in_order_with_the_tasks_lines(tmp_path: Path) -> None:
    events: list[Event] = []
    environment = {"TINY_VARIABLE": "a value"}
    arguments = {"text": "x", "repeat": 1}
    run = run_locally(compiled(tiny_join, tmp_path), tmp_path / "root", arguments, environment, on_event=events.append)

    first = [event for event in events if event.label == "write"]
    lines = [TaskOutput("write", "logged"), TaskOutput("write", "writing x as a value")]
    assert first == [TaskStarted("write", "write"), *lines, run.tasks["write"]]
    assert 0 < run.tasks["write"].seconds < run.seconds
    assert "writing x as a value" in run.log.read_text()
    assert "\x1e" not in run.log.read_text()


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_a_tasks_lines_arrive_as_they_were_printed(tmp_path: Path, warm: bool) -> None:
    """Whatever they look like: a line of Kubeflow's, the end of its dump, a message to the caller."""
    pretended = MARK + '{"kind": "ended", "label": "say", "title": "say", "ok": false}'
    lines = ["    four blanks", "Streamed logs:", "}", "-" * 80, pretended, "no end of line"]
    events: list[Event] = []
    path = compiled(tiny_say, tmp_path)
    run = run_locally(path, tmp_path / "root", {"lines": lines}, on_event=events.append, warm=warm)

    assert [event.line for event in events if isinstance(event, TaskOutput)] == lines
    assert [type(event) for event in events if not isinstance(event, TaskOutput)] == [TaskStarted, TaskEnded]
    logged = run.log.read_text()
    assert "".join(f"    {line}\n" for line in lines[:-1]) + f"    {lines[-1]}" in logged


def test_what_the_executor_says_about_itself_is_in_the_log_alone(tmp_path: Path) -> None:
    events: list[Event] = []
    run = run_locally(compiled(tiny_say, tmp_path), tmp_path / "root", {"lines": ["said"]}, on_event=events.append)

    assert [event.line for event in events if isinstance(event, TaskOutput)] == ["said"]
    log = run.log.read_text()
    for note in ("Looking for component `say`", "Got executor_input:", '"parameterValues": {', "Wrote executor output"):
        assert note in log


def test_a_containers_stream_is_split_into_lines() -> None:
    chunks = [b"one\ntw", b"o\r\n 1/2\r 2/2\n", "thr\u00e9".encode()[:4], "thr\u00e9".encode()[4:], b"\xff"]

    assert list(split_lines(chunks)) == ["one", "two", " 1/2", " 2/2", "thr\u00e9\ufffd"]


def test_cached_tasks_are_not_run_again(tmp_path: Path) -> None:
    path = compiled(tiny_join, tmp_path)
    runs = [
        run_locally(path, tmp_path / name, {"text": text, "repeat": 2}, cache=tmp_path / "cache")
        for name, text in (("first", "a"), ("again", "a"), ("other", "b"))
    ]

    assert [run.tasks["write"].cached for run in runs] == [False, True, False]
    assert [run.tasks["write-2"].cached for run in runs] == [False, True, True]
    assert runs[1].tasks["write"].artifacts == runs[0].tasks["write"].artifacts
    assert runs[2].tasks["3.join"].artifacts["joined"].read_text() == "bb+twotwobb"


def test_tasks_import_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_module.py").write_text("GREETING = 'hello from the user'\n")
    monkeypatch.chdir(tmp_path)
    run = run_locally(compiled(tiny_probe, tmp_path), Path("root"), {"module": "my_module"})

    assert run.tasks["probe"].artifacts["found"].read_text() == "hello from the user"
    assert run.tasks["probe"].parameters["Output"] == f"{sys.executable}|{tmp_path}"


@pytest.mark.parametrize(
    ("how", "error", "sentence"),
    [
        ("user", UserError, "Row 3 has no label: add it."),
        ("world", WorldError, "The engine ran out of memory."),
    ],
)
def test_a_failing_task_gives_its_sentence(tmp_path: Path, how: str, error: type[Exception], sentence: str) -> None:
    events: list[Event] = []
    with pytest.raises(error) as caught:
        run_locally(compiled(tiny_fail, tmp_path), tmp_path / "root", {"how": how}, on_event=events.append)

    assert str(caught.value) == sentence
    ended = [event for event in events if isinstance(event, TaskEnded)]
    assert [(task.label, task.ok) for task in ended] == [("write", True), ("1.p", False)]


@pytest.mark.parametrize(("how", "reason"), [("a bug", "ZeroDivisionError: a bug"), ("killed", "Killed")])
def test_a_crash_is_a_world_error_that_names_the_log(tmp_path: Path, how: str, reason: str) -> None:
    with pytest.raises(WorldError) as caught:
        run_locally(compiled(tiny_fail, tmp_path), tmp_path / "root", {"how": how})

    assert "The task 1.p failed" in str(caught.value)
    assert reason in str(caught.value)
    assert str(tmp_path / "root" / "run.log") in str(caught.value)


def test_mistakes_that_are_found_before_the_first_task(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.yaml does not exist"):
        run_locally(tmp_path / "missing.yaml", tmp_path)
    with pytest.raises(UserError, match="no parameter `sed`: use one of repeat, text"):
        run_locally(compiled(tiny_join, tmp_path), tmp_path / "root", {"sed": 1})


def test_an_interrupt_ends_the_tasks(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    def interrupt(event: Event) -> None:
        if isinstance(event, TaskStarted):
            wait_until(lambda: pid_file.is_file() and pid_file.read_text())
            raise KeyboardInterrupt

    arguments = {"pid_file": str(pid_file)}
    with pytest.raises(KeyboardInterrupt):
        run_locally(compiled(tiny_sleep, tmp_path), tmp_path / "root", arguments, on_event=interrupt)
    wait_until(lambda: not is_running(pid_file))


def test_tasks_do_not_outlive_a_caller_that_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    path = compiled(tiny_sleep, tmp_path)
    script = f"""
from pathlib import Path
from bt_runner.run import run_locally
run_locally(Path({str(path)!r}), Path({str(tmp_path / "root")!r}), {{"pid_file": {str(pid_file)!r}}})
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) as caller:
        wait_until(lambda: pid_file.is_file() and pid_file.read_text())
        assert is_running(pid_file)
        caller.kill()
    wait_until(lambda: not is_running(pid_file))


def is_running(pid_file: Path) -> bool:
    status = Path("/proc", pid_file.read_text(), "status")
    return status.is_file() and "State:\tZ" not in status.read_text()


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_two_runs_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = compiled(tiny_join, tmp_path)
    texts: dict[str, str] = {}

    def one(name: str) -> None:
        run = run_locally(path, tmp_path / name, {"text": name, "repeat": 1})
        texts[name] = run.tasks["3.join"].artifacts["joined"].read_text()

    threads = [threading.Thread(target=one, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == {"a": "a+twotwoa", "b": "b+twotwob"}


def test_a_log_on_a_full_disk_does_not_end_the_run(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "run.log").symlink_to("/dev/full")
    events: list[Event] = []
    run = run_locally(compiled(tiny_say, tmp_path), tmp_path / "root", {"lines": ["said"]}, on_event=events.append)

    assert run.tasks["say"].parameters["Output"] == "said"
    warning = f"{run.log} cannot be written (No space left on device), and the run goes on without it."
    assert [event for event in events if isinstance(event, RunWarning)] == [RunWarning(warning)]
