"""A local MLflow server, and the run store that it serves."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from bt_core.errors import TrackingError, WorldError
from bt_core.retries import Pauses, try_again
from bt_core.trust.credentials import redact
from bt_core.web import Unanswered, send
from bt_tracking.settings import DEFAULT_EXPERIMENT, store_uri

HOST = "127.0.0.1"
DEFAULT_PORT = 5000
#: A local store's database; its artifacts lie beside it.
DATABASE, _ARTIFACTS = "mlflow.db", "artifacts"
_PAUSES = Pauses(first=0.2, longest=0.2)


def local_store(folder: Path) -> str:
    """The tracking URI of a store in a folder, which is created if it is missing. No server is needed to use it.

    The database is `mlflow.db`, and MLflow makes `artifacts/` beside it for the first artifact.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return store_uri(folder / DATABASE)


@dataclass(frozen=True)
class LocalServer:
    """A running server: its process, which leads a process group, and its address."""

    process: subprocess.Popen[bytes]
    url: str

    def wait_until_ready(self, seconds: float = 120.0) -> None:
        """Wait until the server answers.

        Raises:
            WorldError: when the server ends, or does not answer in time.
        """
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a server on this machine needs no proxy

        def ask() -> None:
            if self.process.poll() is not None:
                raise WorldError(
                    f"The MLflow server for {self.url} ended with status {self.process.returncode} before it "
                    "answered: read its output above."
                )
            direct.open(f"{self.url}/health", timeout=2).close()

        try:
            try_again(ask, lambda error: isinstance(error, OSError), _PAUSES, seconds=seconds)
        except OSError:
            raise WorldError(
                f"The MLflow server at {self.url} did not answer within {seconds:g} s: read its output above."
            ) from None

    def stop(self) -> None:
        """End the server and its worker processes."""
        for stop, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, None)):
            if self.process.poll() is not None:
                return
            os.killpg(self.process.pid, stop)
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                continue


def start_server(folder: Path, port: int | None = None, host: str = HOST) -> LocalServer:
    """Start MLflow's UI and API on the store of `local_store`. It takes 10 to 15 seconds to answer.

    Args:
        folder: the store's folder.
        port: port to listen on; when left out, 5000, or any free one if 5000 is taken.
        host: address to listen on; by default only this machine can reach it.
    """
    chosen = port or free_port(host)
    command = server_command(folder, chosen, host)
    process = subprocess.Popen(command, env=server_environment(), start_new_session=True)
    return LocalServer(process, f"http://{host}:{chosen}")


def server_command(folder: Path, port: int, host: str = HOST) -> list[str]:
    """The command line of a local server with one worker, which serves the artifacts too."""
    store = local_store(folder)
    artifacts = (folder.absolute() / _ARTIFACTS).as_uri()
    where = ["--backend-store-uri", store, "--artifacts-destination", artifacts, "--serve-artifacts"]
    listen = ["--host", host, "--port", str(port), "--workers", "1"]
    quiet = ["--uvicorn-opts", "--log-level warning"]  # otherwise a line for every request
    return [sys.executable, "-m", "mlflow", "server", *where, *listen, *quiet]


def server_environment() -> dict[str, str]:
    """The environment of a local server, without job runner and telemetry."""
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    return {**os.environ, **quiet}


def free_port(host: str = HOST, preferred: int = DEFAULT_PORT) -> int:
    """The preferred port if it is free, otherwise any free one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise WorldError(f"No free port on {host}: end a server that listens there.")


def served_experiment(url: str) -> str:
    """The id of our experiment on a server that is running.

    Raises:
        TrackingError: when no MLflow server answers there, or it has no runs of ours.
    """
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT
    query = urllib.parse.urlencode({"experiment_name": name})
    try:
        answer = send(f"{url}/api/2.0/mlflow/experiments/get-by-name?{query}", tries=1, timeout=10.0)
        return str(json.loads(answer)["experiment"]["experiment_id"])
    except (Unanswered, KeyError, TypeError, ValueError) as error:
        raise TrackingError(
            f"No MLflow server with runs of ours answers at {redact(url)} ({error}): start one with `bt mlflow`."
        ) from None
