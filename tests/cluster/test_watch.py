"""`bt submit --wait`, `bt runs RUN`, `bt logs` and `bt cancel`: what a person sees of a run and of its failure."""

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bt_cli.view.cluster_run import LiveView
from bt_cluster import follow, lost
from bt_cluster.api import Api
from bt_cluster.connection import HOST, Connection
from tests.cli.conftest import Bt, Outcome
from tests.cluster.kubeflow.server import ApiServer, Fault
from tests.cluster.kubeflow.workflow import Ends

SEARCH = "prompt-search"
SENTENCE = "The task `triage` has no metric: name one in triage.py."


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(follow, "_FIRST_PAUSE", 0.01)


def _link(server: ApiServer) -> str:
    (run,) = server.state.runs
    return f"{server.url}/#/runs/details/{run}"


def _title(bt: Bt, name: str) -> str:
    return next(one["title"] for one in json.loads(bt("runs", "mine", "--json").out)["tasks"] if one["name"] == name)


def _failing(server: ApiServer, bt: Bt, package: Path, ends: Ends) -> Outcome:
    server.outcome, server.ends[SEARCH] = "FAILED", ends
    return bt("submit", package, "--wait", "--name", "mine")


def test_in_a_ci_log_every_change_is_a_line(server: ApiServer, bt: Bt, package: Path) -> None:
    server.ends = {"prepare-data": Ends("Cached")}
    ended = bt("submit", package, "--wait", "--name", "mine")
    lines = ended.err.splitlines()
    assert (ended.status, lines[0], lines[-1]) == (0, "Started the run mine.", "The run mine has succeeded.")
    tasks = json.loads(bt("runs", "mine", "--json").out)["tasks"]
    total = len(tasks)
    assert any(line.startswith(f"[{total}/{total}] ") and ": done after 10 s" in line for line in lines)
    assert sum(": taken from the cache after" in line for line in lines) == 1
    assert len([line for line in lines if line.startswith("[")]) == total, "nothing is said twice"


def test_the_table_of_a_run_that_goes_on(server: ApiServer, bt: Bt, package: Path) -> None:
    server.stuck = True
    server.ends = {
        "prepare-data": Ends("Cached"),
        SEARCH: Ends("Pending", message="Unschedulable: 0/1 nodes have a GPU"),
    }
    bt("submit", package, "--name", "mine")
    found = json.loads(bt("runs", "mine", "--json").out)
    states = {one["name"]: one["state"] for one in found["tasks"]}
    assert states["prepare-data"] == "cached"
    assert states["bootstrap-traces"] == "done"
    assert states[SEARCH] == "starting"
    assert set(states.values()) == {"cached", "done", "starting", "waiting"}
    assert next(iter(states)) == "prepare-data"
    table = bt("runs", "mine").out
    assert _link(server) in table
    assert "Unschedulable: 0/1 nodes have a GPU" in table
    assert f"running, 2 of {len(states)} tasks, 1 from the cache" in table


def test_the_live_table(server: ApiServer, bt: Bt, package: Path) -> None:
    server.stuck = True
    server.ends = {SEARCH: Ends("Running")}
    bt("submit", package, "--name", "mine")
    api = Api(Connection.find(environment={HOST: server.url}))
    run = follow.Followed.find(api, "mine")
    out = StringIO()
    view = LiveView(Console(file=out, force_terminal=True, color_system=None, width=100, height=6))
    with view.show():
        view.tell(run.look(api))
    first, second, third, progress = out.getvalue().rstrip("\x1b[?25h\n").splitlines()[-4:]
    total = len(run.look(api).tasks)
    assert "prepare data" in first
    assert "bootstrap traces" in second
    assert ("prompt search" in third, " running " in third) == (True, True)
    assert f"running, 2 of {total} tasks, " in progress, "tasks that wait make room for those that have begun"


@pytest.mark.parametrize("status", [1, 2])
def test_a_failed_run_quotes_its_tasks_sentence_and_ends_in_its_status(
    status: int, server: ApiServer, bt: Bt, package: Path
) -> None:
    log = f"loading\nbt-error 1: an earlier try\nbt-error {status}: {SENTENCE}\nF1126 launcher: exit status 1\n"
    ended = _failing(server, bt, package, Ends("Failed", log, "Error (exit code 1)"))
    assert ended.status == status
    assert "skipped" not in ended.err, "what a failure leaves out is not told task by task"
    title = _title(bt, SEARCH)
    wanted = f"bt: The task `{title}` of the run mine failed: {SENTENCE.rstrip('.')}: see {_link(server)}."
    assert ended.err.splitlines()[-1] == wanted
    assert bt("runs", "mine").out.splitlines()[-1] == wanted.removeprefix("bt: ")


def test_a_log_without_a_sentence_is_quoted_by_its_last_lines(server: ApiServer, bt: Bt, package: Path) -> None:
    log = "".join(f"line {number}\n" for number in range(9))
    log += '"outputs": {\n}\n[KFP Executor 2026-11-27 04:24:12,567 INFO]: Wrote\n'
    log += "F1127 04:26:27.870581      15 main.go:59] failed to execute component: exit status 1\n"
    ended = _failing(server, bt, package, Ends("Failed", log, "OOMKilled (exit code 137)"))
    assert ended.status == 1
    assert (
        "failed: OOMKilled (exit code 137); its log ends in: line 4 | line 5 | line 6 | line 7 | line 8: see"
        in ended.err.splitlines()[-1]
    )


def test_a_pod_without_a_log_is_told_by_what_kubernetes_says_of_it(server: ApiServer, bt: Bt, package: Path) -> None:
    ended = _failing(server, bt, package, Ends("Failed", None, "ImagePullBackOff: no such image"))
    assert ended.status == 1
    assert "failed: ImagePullBackOff: no such image: see" in ended.err


def test_a_service_account_that_does_not_exist(server: ApiServer, bt: Bt, package: Path) -> None:
    server.outcome = "FAILED"
    server.ends[""] = Ends(message='pods "x" is forbidden: serviceaccount "nobody" not found')
    ended = bt("submit", package, "--wait", "--service-account", "nobody")
    assert ended.status == 1
    assert "The task `root` of the run " in ended.err
    assert 'serviceaccount "nobody" not found: see' in ended.err


def test_the_dashboards_server_gives_logs_under_a_path_of_its_own(server: ApiServer, bt: Bt, package: Path) -> None:
    server.dashboard = True
    ended = _failing(server, bt, package, Ends("Failed", f"bt-error 2: {SENTENCE}\n"))
    assert (ended.status, SENTENCE.rstrip(".") in ended.err) == (2, True)
    assert server.sent("GET", "/k8s/pod/logs")[0].query["podnamespace"] == "kubeflow"


def test_ctrl_c_leaves_the_run_going_on(
    server: ApiServer, bt: Bt, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    server.stuck = True
    monkeypatch.setattr("bt_cluster.follow.sleep", interrupted)
    ended = bt("submit", package, "--wait")
    (run,) = server.state.runs
    assert ended.status == 130
    assert ended.err.splitlines()[-1] == (
        f"The run goes on: `bt runs {run} --wait` follows it again, `bt cancel {run}` ends it."
    )
    assert not server.sent("POST", ":terminate")
    server.stuck = False
    monkeypatch.undo()
    monkeypatch.setenv(HOST, server.url)
    assert bt("runs", run, "--wait").status == 0


def test_logs(server: ApiServer, bt: Bt, package: Path) -> None:
    failed = Ends("Failed", "first\nbt-error 2: no\n", attempts=2)
    _failing(server, bt, package, failed)
    assert bt("logs", "mine", "prepare-data").out == "done\n"
    both = bt("logs", "mine").out
    assert both.count("first\n") == 2, "of the task that failed, each attempt"
    assert both.count("==> ") == 2
    assert bt("logs", "mine", _title(bt, "prepare-data")).out == "done\n"
    missing = bt("logs", "mine", "nothing")
    assert (missing.status, "has no task `nothing`: its tasks are `" in missing.sentence) == (2, True)
    never = bt("logs", "mine", "evaluate")
    assert (never.status, "so there is no log" in never.sentence) == (2, True)


def test_logs_of_all_tasks_where_none_failed(server: ApiServer, bt: Bt, package: Path) -> None:
    server.ends = {"prepare-data": Ends("Cached"), SEARCH: Ends(log=None)}
    bt("submit", package, "--wait", "--name", "mine")
    ended = bt("logs", "mine")
    total = len(json.loads(bt("runs", "mine", "--json").out)["tasks"])
    assert ended.out.count("==> ") == total - 1
    assert "neither its pod nor the archive has one." in ended.err


def test_cancel(server: ApiServer, bt: Bt, package: Path) -> None:
    bt("submit", package, "--name", "mine")
    ended = bt("cancel", "mine")
    (run,) = server.state.runs.values()
    assert (ended.status, run.state, ended.out) == (0, "CANCELING", _link(server) + "\n")
    assert "is being ended already" in bt("cancel", "mine").sentence
    run.state = "FAILED"
    again = bt("cancel", run.run_id)
    assert (again.status, "has ended already, as canceled" in again.sentence) == (2, True)


def test_a_canceled_run_did_not_fail(server: ApiServer, bt: Bt, package: Path) -> None:
    bt("submit", package, "--name", "mine")
    bt("cancel", "mine")
    ended = bt("runs", "mine", "--wait")
    assert (ended.status, ended.err.splitlines()[-1]) == (1, f"bt: The run mine was canceled: see {_link(server)}.")
    (run,) = server.state.runs.values()
    assert run.state == "FAILED", "as the backend calls it"
    assert json.loads(bt("runs", "--json").out)[0]["state"] == "CANCELED"


def test_a_name_that_two_runs_have(server: ApiServer, bt: Bt, package: Path) -> None:
    bt("submit", package, "--name", "mine")
    bt("submit", package, "--name", "mine")
    ended = bt("runs", "mine")
    first, second = server.state.runs
    assert (ended.status, f"name one of them by its id ({second}, {first}; the newest first)" in ended.sentence) == (
        2,
        True,
    )
    assert bt("runs", first).status == 0
    assert "has no run `yours`" in bt("cancel", "yours").sentence


@pytest.mark.parametrize("where", ["multi-user", "dashboard"])
def test_a_run_whose_workflow_is_gone_is_said_to_be_doubtful(
    where: str, server: ApiServer, bt: Bt, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.stuck, server.multi_user, server.dashboard = True, where == "multi-user", where == "dashboard"
    server.ends = {SEARCH: Ends("Running")}
    bt("submit", package, "--name", "mine")
    assert json.loads(bt("runs", "mine", "--json").out)["doubt"] == ""
    server.state.lost |= set(server.state.runs)
    doubt = json.loads(bt("runs", "mine", "--json").out)["doubt"]
    assert "lists the run mine as running, but the pod of" in doubt
    assert "its workflow may be deleted; look with `kubectl --namespace kubeflow get workflow" in doubt
    monkeypatch.setattr(follow, "DOUBT", 0.0)
    waited = bt("runs", "mine", "--wait")
    assert (waited.status, doubt in waited.err) == (1, True)
    ended = bt("cancel", "mine")
    assert (ended.status, "which may be deleted; it lists the run as canceling" in ended.sentence) == (1, True)


def test_where_no_log_of_a_running_pod_can_be_read_nothing_is_claimed(server: ApiServer, bt: Bt, package: Path) -> None:
    server.stuck = True
    server.ends = {SEARCH: Ends("Running")}
    bt("submit", package, "--name", "mine")
    assert json.loads(bt("runs", "mine", "--json").out)["doubt"] == ""
    ended = bt("logs", "mine", SEARCH)
    assert (ended.status, ended.out) == (0, "")
    assert "the task has not ended, and a Kubeflow for one user shows logs of running pods only" in ended.err
    server.dashboard = True
    assert bt("logs", "mine", SEARCH).out == "done\n"


def test_a_run_that_is_being_ended_is_not_doubtful(server: ApiServer, bt: Bt, package: Path) -> None:
    server.stuck = True
    server.ends = {SEARCH: Ends("Running", log=None)}
    bt("submit", package, "--name", "mine")
    bt("runs", "mine")
    (run,) = server.state.runs.values()
    run.state = "CANCELING"
    server.state.lost.add(run.run_id)  # so that it stays in this state
    run.created_at = datetime.now(UTC)
    assert json.loads(bt("runs", "mine", "--json").out)["doubt"] == ""


def test_a_task_that_waits_for_a_node_is_not_doubtful(
    server: ApiServer, bt: Bt, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.stuck = True
    server.ends = {SEARCH: Ends("Pending")}
    bt("submit", package, "--name", "mine")
    assert json.loads(bt("runs", "mine", "--json").out)["doubt"] == ""
    server.ends = {}
    assert "nothing has begun or ended in it for" in json.loads(bt("runs", "mine", "--json").out)["doubt"]
    monkeypatch.setattr(lost, "LONGEST_SILENCE", lost.timedelta(days=10_000))
    assert json.loads(bt("runs", "mine", "--json").out)["doubt"] == ""


def test_a_server_without_workflows_shows_the_run_alone(server: ApiServer, bt: Bt, package: Path) -> None:
    server.faults.append(Fault("GET", "/v1beta1/runs/", status=404))
    server.outcome = "FAILED"
    ended = bt("submit", package, "--wait", "--name", "mine")
    assert ended.status == 1
    assert ended.err.splitlines()[-1] == f"bt: The run mine has ended as failed: see {_link(server)}."
    assert "so there is no log" in bt("logs", "mine").sentence
