"""Four processes that write to one SQLite store at the same moment: none is refused, and nothing is lost or doubled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bt_tracking.connection import RetryingClient
from bt_tracking.registry import registry_name
from bt_tracking.server import local_store
from bt_tracking.settings import TrackingSettings

PROCESSES, ROUNDS = 4, 12
#: What a stage records: a process's own runs, in experiments, with data sets and of models that all processes share.
RECORD = """
import os, sys
from pathlib import Path
import bt_tracking
from bt_core.config import Config
from bt_core.records import StageReport
from bt_tracking import content
from bt_tracking.connection import RetryingClient, connect
from bt_tracking.settings import TrackingSettings

config, number, program = Config(task="iris"), sys.argv[1], Path(sys.argv[2])
print("ready", flush=True)
for line in sys.stdin:
    turn = line.strip()
    os.environ |= {"BT_RUN_ID": f"{turn}-{number}", "MLFLOW_EXPERIMENT_NAME": f"experiment {turn}"}
    sets = [bt_tracking.DataSet(f"set {n}", use, f"{turn}.{n}", 5) for n, use in enumerate(("train", "val", "test"))]
    bt_tracking.start_parent(config, "p", datasets=sets)
    run = bt_tracking.record(StageReport("1.p", "p", metrics={"val/score": 0.5}), {}, datasets=sets)
    version = bt_tracking.register_model(f"task {turn}", program, run, tags={"seed": "0"}).version
    with connect(TrackingSettings.from_environment(), "an alias") as client:
        client.set_registered_model_alias(f"bt-task-{turn}", "champion", str(version))
        client.set_registered_model_tag(f"bt-task-{turn}", "term", "1")
    bt_tracking.finish_parent({"test/final": 0.5}, note="done")
    print("done", flush=True)
"""


@pytest.mark.slow
def test_runs_that_record_at_once_are_all_recorded(tmp_path: Path, program_folder: Path) -> None:
    uri = local_store(tmp_path / "store")
    RetryingClient(TrackingSettings(uri)).search_experiments()
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RECORD, str(number), str(program_folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for turn in range(ROUNDS):
        for process in processes:
            assert process.stdin
            process.stdin.write(f"{turn}\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "done\n", process.communicate()[1]
    noted = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES, noted
    _check(RetryingClient(TrackingSettings(uri)))


def _check(client: RetryingClient) -> None:
    """Every process's parent and stage once in each round, and a version for each."""
    for turn in range(ROUNDS):
        experiment = client.get_experiment_by_name(f"experiment {turn}")
        runs = client.search_runs([experiment.experiment_id])
        assert sorted((run.data.tags["bt.run_id"], run.data.tags["stage"], run.info.status) for run in runs) == sorted(
            (f"{turn}-{number}", stage, "FINISHED") for number in range(PROCESSES) for stage in ("pipeline", "1.p")
        )
        assert all(len(run.inputs.dataset_inputs) == 3 for run in runs)
        name = registry_name(f"task {turn}")
        assert len(client.search_model_versions(f"name = '{name}'")) == PROCESSES
        assert client.get_registered_model(name).aliases.keys() == {"champion"}
