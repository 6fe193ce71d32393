"""Disturbances of the servers beside a run: MLflow and S3 that are killed and come back, and a network that fails."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bt_tracking.connection import RetryingClient
from bt_tracking.settings import TrackingSettings
from tests.chaos.place import WEIGHTS, Running
from tests.chaos.trial import Trial
from tests.faults import Fault, Proxy, proxy_to
from tests.s3 import WEED, Server, environment, s3_server
from tests.tracking.conftest import RestartableServer

#: A share of the requests that go wrong, so that retries get through.
BAD_SHARE = 0.15
NETWORK: tuple[Fault, ...] = ("busy", "lost", "cut", "altered")


@contextmanager
def mlflow_server(folder: Path) -> Iterator[RestartableServer]:
    """An MLflow server."""
    folder.mkdir()
    server = RestartableServer(folder)
    try:
        server.running.wait_until_ready()
        yield server
    finally:
        server.running.stop()


@dataclass(frozen=True)
class Bucket:
    """An S3 server, and a proxy in front of it."""

    server: Server
    proxy: Proxy


@contextmanager
def s3(folder: Path) -> Iterator[Bucket]:
    """An S3 server behind a proxy."""
    with s3_server(folder) as server, proxy_to(server.endpoint) as proxy:
        yield Bucket(server, proxy)


def why_no_s3() -> str:
    return "" if WEED else "the S3 server `weed` is not installed"


def mlflow_restarts(trial: Trial) -> None:
    """Kill the MLflow server once or twice during a run, and start it again after a while."""
    server = trial.place.shared(mlflow_server)
    server.running.wait_until_ready()
    run = trial.room.start(*WEIGHTS, "--tracking-uri", server.url)
    for _ in range(trial.chance.randint(1, 2)):
        _sleep(run, trial.chance.uniform(0.0, 6.0))
        server.kill()
        away = trial.chance.uniform(0.2, 5.0)
        trial.done.append(f"MLflow away for {away:.1f} s")
        time.sleep(away)
        server.restart()
    ended = run.end()
    server.running.wait_until_ready()
    trial.check_end(ended)
    trial.check_result(ended, trial.place.reference(*WEIGHTS), is_last=True)
    trial.check_room(is_mlflow_local=False)
    client = RetryingClient(TrackingSettings(server.url))
    runs = client.search_runs(
        [experiment.experiment_id for experiment in client.search_experiments()],
        filter_string=f"tags.`bt.run_id` LIKE '{run.folder.name}-%'",
    )
    stages = sorted(found.data.tags["stage"] for found in runs)
    wrong = sorted({found.info.status for found in runs} - {"FINISHED"})
    if wrong or len(set(stages)) < len(stages) or "evaluate" not in stages:
        trial.faults.append(("running", f"{stages} {wrong}"))


def s3_fails(trial: Trial) -> None:
    """Publish a program while the network fails, the server restarts or the publisher is killed; then again."""
    reference, bucket = trial.place.reference(*WEIGHTS), trial.place.shared(s3)
    name = f"s3://data/chaos/{trial.room.folder.name}"
    command = ("publish", str(reference.folder / "program"), name)
    bucket.proxy.faults = _bad(trial.chance, 60)
    variables = environment(bucket.proxy.endpoint)
    run = trial.room.bt(command, "publish", variables)
    way = trial.chance.choice(["network", "restart", "kill"])
    trial.done.append(way)
    if way != "network":
        _sleep(run, trial.chance.uniform(0.0, 3.0))
        if way == "kill":
            run.kill_all()
        else:
            bucket.server.stop()
            time.sleep(trial.chance.uniform(0.1, 2.0))
            bucket.server.start()
    trial.check_end(run.end(), was_killed=way == "kill")
    bucket.proxy.faults = []
    again = trial.room.bt(command, "publish", variables).end()
    trial.check_end(again)
    if again.status:
        trial.faults.append(("lost", again.text[-300:]))
        return
    _check_fetched(trial, name, reference.folder / "program", bucket)
    trial.check_room()


def _check_fetched(trial: Trial, name: str, program: Path, bucket: Bucket) -> None:
    bucket.proxy.faults = _bad(trial.chance, 20)
    done = trial.room.bt(("publish", name, "fetched"), "fetch", environment(bucket.proxy.endpoint)).end()
    bucket.proxy.faults = []
    trial.check_end(done)
    if done.status:  # more faults than retries: it says so, and the second time it must work
        done = trial.room.bt(("publish", name, "fetched"), "fetch", environment(bucket.proxy.endpoint)).end()
    fetched = trial.room.folder / "fetched"
    files = [path.relative_to(program) for path in program.rglob("*") if path.is_file()]
    if done.status or any((fetched / file).read_bytes() != (program / file).read_bytes() for file in files):
        trial.faults.append(("wrong" if not done.status else "lost", done.text[-300:]))


def _bad(chance: random.Random, count: int) -> list[Fault]:
    return [chance.choice(NETWORK) if chance.random() < BAD_SHARE else "none" for _ in range(count)]


def _sleep(run: Running, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and run.process.poll() is None:
        time.sleep(0.01)
