"""`bt schedule`: enabled, without catch-up, and replaced without a gap."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Bt
from tests.cluster.kubeflow.server import ApiServer, Fault

NIGHTLY = ("--cron", "0 0 2 * * *")


def _only(server: ApiServer) -> Any:
    (found,) = server.state.schedules.values()
    return found


def test_a_schedule_is_enabled_and_catches_nothing_up(server: ApiServer, bt: Bt, package: Path) -> None:
    ended = bt("schedule", package, *NIGHTLY, "--param", "seed=2")
    made = _only(server)
    assert (ended.status, made.mode, made.status, made.no_catchup) == (0, "ENABLE", "ENABLED", True)
    assert (made.trigger.cron_schedule.cron, made.max_concurrency) == ("0 0 2 * * *", "1")
    assert made.runtime_config.parameters == {"seed": 2}
    first, times, link = ended.out.splitlines()
    (version,) = server.state.versions.values()
    assert first == f"The schedule better-together runs {version.name}: At 02:00 every day."
    assert times.startswith("Next, in UTC: ")
    assert times.count(" 02:00:00") == 3
    assert link == f"{server.url}/#/recurringrun/details/{made.recurring_run_id}"


def test_a_schedule_by_interval(server: ApiServer, bt: Bt, package: Path) -> None:
    ended = bt("schedule", package, "--every", "12h", "--catch-up", "--at-once", "3", "--name", "half-daily")
    made = _only(server)
    assert (ended.status, made.display_name, made.no_catchup, made.max_concurrency) == (0, "half-daily", False, "3")
    assert made.trigger.periodic_schedule.interval_second == "43200"
    assert made.trigger.cron_schedule is None


def test_a_scheduled_strategy_reads_its_data_in_every_run(server: ApiServer, bt: Bt) -> None:
    assert bt("schedule", "--strategy", "p", "--task", "iris", *NIGHTLY).status == 0
    (version,) = server.state.versions.values()
    tasks = server.state.specs[version.pipeline_version_id]["root"]["dag"]["tasks"]
    assert not tasks["prepare-data"]["cachingOptions"].get("enableCache")


def test_the_same_schedule_again_changes_nothing(server: ApiServer, bt: Bt, package: Path) -> None:
    first, second = bt("schedule", package, *NIGHTLY), bt("schedule", package, *NIGHTLY)
    assert (second.status, second.out.splitlines()[-1]) == (0, first.out.splitlines()[-1])
    assert "runs already, as wanted," in second.out
    assert len(server.sent("POST", "/recurringruns")) == 1


def test_a_change_makes_the_new_before_it_deletes_the_old(server: ApiServer, bt: Bt, package: Path) -> None:
    bt("schedule", package, *NIGHTLY)
    old = _only(server).recurring_run_id
    ended = bt("schedule", package, "--cron", "0 30 4 * * MON")
    assert (ended.status, _only(server).trigger.cron_schedule.cron) == (0, "0 30 4 * * MON")
    assert ended.err == "Replaced 1 older one.\n"
    changes = [
        (one.method, one.path) for one in server.requests if one.method == "DELETE" or "recurringruns" in one.path
    ]
    made = ("POST", "/apis/v2beta1/recurringruns")
    assert changes[-2:] == [made, ("DELETE", f"/apis/v2beta1/recurringruns/{old}")]


@pytest.mark.parametrize(
    "arguments", [["--param", "seed=9"], ["--at-once", "2"], ["--catch-up"]], ids=lambda a: a[0][2:]
)
def test_what_counts_as_a_change(arguments: list[str], server: ApiServer, bt: Bt, package: Path) -> None:
    bt("schedule", package, *NIGHTLY)
    old = _only(server).recurring_run_id
    assert bt("schedule", package, *NIGHTLY, *arguments).status == 0
    assert _only(server).recurring_run_id != old


def test_the_old_one_goes_on_when_the_new_one_cannot_be_made(server: ApiServer, bt: Bt, package: Path) -> None:
    bt("schedule", package, *NIGHTLY)
    old = _only(server)
    server.faults.append(Fault("POST", "/recurringruns", status=500))
    ended = bt("schedule", package, "--every", "1h")
    assert (ended.status, _only(server)) == (1, old)
    assert ended.sentence.endswith("try again later. The existing schedule goes on unchanged.")


def test_both_run_when_the_old_one_cannot_be_deleted_and_the_next_call_mends_it(
    server: ApiServer, bt: Bt, package: Path
) -> None:
    bt("schedule", package, *NIGHTLY)
    old = _only(server).recurring_run_id
    server.faults.append(Fault("DELETE", status=500))
    ended = bt("schedule", package, "--every", "1h")
    new = [key for key in server.state.schedules if key != old]
    assert (ended.status, ended.out, len(server.state.schedules)) == (1, "", 2)
    assert f"runs as requested now ({new[0]}), but the one it replaces ({old}) still exists" in ended.sentence
    assert ended.sentence.endswith("Give the same command again to delete the old one.")
    server.faults.clear()
    assert bt("schedule", package, "--every", "1h").status == 0
    assert list(server.state.schedules) == new


def test_a_creation_that_was_cut_short_is_found_by_the_next_call(server: ApiServer, bt: Bt, package: Path) -> None:
    bt("schedule", package, *NIGHTLY)
    server.faults.append(Fault("POST", "/recurringruns", cut="after", times=1))
    ended = bt("schedule", package, "--every", "1h")
    assert (ended.status, len(server.state.schedules)) == (1, 2)
    assert "it may have done so: look before you try again" in ended.sentence
    assert bt("schedule", package, "--every", "1h").status == 0
    assert _only(server).trigger.periodic_schedule.interval_second == "3600"


@pytest.mark.parametrize("account", ["pipeline-runner", "default-editor", "chosen-by-the-administrator"])
def test_the_account_that_kubeflow_fills_in_is_no_change(
    account: str, server: ApiServer, bt: Bt, package: Path
) -> None:
    server.account = account
    first, second = bt("schedule", package, *NIGHTLY), bt("schedule", package, *NIGHTLY)
    assert _only(server).service_account == account
    assert (second.status, second.out, second.err) == (
        0,
        first.out.replace(" runs p", " runs already, as wanted, p"),
        "",
    )
    assert bt("schedule", package, *NIGHTLY, "--service-account", "trainer").err == "Replaced 1 older one.\n"
    assert bt("schedule", package, *NIGHTLY).err == "Replaced 1 older one.\n"


def _running(server: ApiServer, bt: Bt, package: Path) -> str:
    """The id of a run that the nightly schedule has started."""
    bt("schedule", package, *NIGHTLY)
    return str(server.start_scheduled(_only(server).recurring_run_id, "nightly-1").run_id)


@pytest.mark.parametrize("arguments", [["{package}", "--every", "1h"], ["--delete"]], ids=["replaced", "deleted"])
@pytest.mark.parametrize("version", ["2.17.0", "2.16.1", "unknown"])
def test_running_runs_go_on_without_their_schedule(
    version: str, arguments: list[str], server: ApiServer, bt: Bt, package: Path
) -> None:
    server.version = version
    run = _running(server, bt, package)
    assert bt("schedule", *(one.format(package=package) for one in arguments)).status == 0
    assert not server.state.lost
    assert bt("runs", run, "--wait").status == 0


@pytest.mark.parametrize("arguments", [["{package}", "--every", "1h"], ["--delete"]], ids=["replaced", "deleted"])
def test_an_older_kubeflow_ends_them_and_is_asked_to_only_with_yes(
    arguments: list[str], server: ApiServer, bt: Bt, package: Path
) -> None:
    server.version = "2.15.0"
    run = _running(server, bt, package)
    old = _only(server)
    command = ["schedule", *(one.format(package=package) for one in arguments)]
    ended = bt(*command)
    assert (ended.status, ended.out, _only(server)) == (2, "", old)
    assert ended.sentence == (
        "Kubeflow Pipelines 2.15 ends the running runs of a schedule together with it (nightly-1): wait until they have"
        " ended, or say --yes to end them."
    )
    assert bt("schedule", package, *NIGHTLY).status == 0, "the same settings end nothing"
    assert bt(*command, "--yes").status == 0
    assert server.state.lost == {run}


def test_an_older_kubeflow_without_running_runs_is_not_asked(server: ApiServer, bt: Bt, package: Path) -> None:
    server.version = "2.15.0"
    _running(server, bt, package)
    for run in server.state.runs.values():
        run.state = "SUCCEEDED"
    assert bt("schedule", package, "--every", "1h").status == 0


def test_disable_and_delete(server: ApiServer, bt: Bt, package: Path) -> None:
    bt("schedule", package, *NIGHTLY)
    ended = bt("schedule", "--disable")
    assert (ended.status, ended.err, _only(server).status) == (
        0,
        "The schedule better-together is disabled.\n",
        "DISABLED",
    )
    assert bt("schedule", package, *NIGHTLY).status == 0
    assert _only(server).status == "ENABLED", "the command that made it brings it back"
    assert bt("schedule", "--delete").status == 0
    assert not server.state.schedules
    again = bt("schedule", "--delete")
    assert (again.status, "has no schedule `better-together`" in again.sentence) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--cron", "0 2 * * *"],
            'it would run "At minute 2 of every hour": write `0 0 2 * * *` for "At 02:00 every day"',
        ),
        (["--cron", "at two in the night please"], "is wrong: `at` is no second (0 to 59"),
        (["--cron", "nightly"], "should have six fields and has 1"),
        (["--every", "soon"], "The interval `soon` is no time"),
        ([], "Say when"),
        ([*NIGHTLY, "--every", "1h"], "Say when"),
        ([*NIGHTLY, "--pipeline", "other"], "has no pipeline `other`"),
        ([*NIGHTLY, "--disable"], "stand alone"),
        (["--disable", "--delete"], "stand alone"),
    ],
    ids=["five", "words", "one", "interval", "never", "both", "no-pipeline", "disable", "disable-delete"],
)
def test_bad_input(arguments: list[str], sentence: str, server: ApiServer, bt: Bt) -> None:
    ended = bt("schedule", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert sentence in ended.sentence
    assert not server.state.schedules
