"""`bt mlflow`: the MLflow UI on the runs of a folder. `bt open`: the pages of a server that show them best."""

import http.client
import json
import os
import signal
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Annotated

import typer

from bt_cli.local.run_folder import RUNS
from bt_cli.view.console import stderr, stdout
from bt_core.errors import ConfigError, TrackingError
from bt_tracking.settings import DEFAULT_EXPERIMENT, redact

#: The database of a local tracking store, as `bt_tracking.server.local_store` names it.
STORE = "mlflow.db"
#: How a server that is none of ours, or is not there, answers.
_NO_ANSWER = (OSError, http.client.HTTPException, KeyError, ValueError)


def mlflow(
    runs: Annotated[Path, typer.Argument(metavar="RUNS_DIR", help="The folder that holds the runs.")] = RUNS,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, metavar="N", help="Port to listen on.", show_default="5000, or a free one"),
    ] = None,
) -> None:
    """Serve the MLflow UI on the runs of a folder, until Ctrl-C.

    Example: bt mlflow runs --port 5001
    """
    from bt_tracking.server import start_server

    if not (runs / STORE).is_file():
        raise ConfigError(
            f"The folder {runs} holds no tracked runs ({STORE}): make one with `bt run`, or name another."
        )
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with it ignored
    stderr().print("Starting MLflow, which takes about 15 seconds ...")
    server = start_server(runs, port, host)
    try:
        server.wait_until_ready()
        stdout().print(f"MLflow: {_first_page(server.url)}\nCtrl-C ends it.", markup=False)
        server.process.wait()
    except KeyboardInterrupt:
        stderr().print("Stopped.")
    finally:
        server.stop()


def open_runs(
    uri: Annotated[
        str, typer.Argument(metavar="URL", help="Address of the MLflow server.", envvar="MLFLOW_TRACKING_URI")
    ] = "http://127.0.0.1:5000",
) -> None:
    """Print the pages of an MLflow server that show runs best.

    All runs, strategies averaged over seeds, and the arms of sweeps. The server has to be running (bt mlflow).

    Example: bt open http://127.0.0.1:5000
    """
    from bt_tracking import comparison_url

    if urllib.parse.urlsplit(uri).scheme not in ("http", "https"):
        raise ConfigError(
            f"{redact(uri)} is no server's address: start one with `bt mlflow`, and give its http address."
        )
    try:
        experiment = _experiment(uri)
    except _NO_ANSWER as error:
        raise TrackingError(
            f"No MLflow server with runs of ours answers at {redact(uri)} ({getattr(error, 'reason', error)}): start"
            " one with `bt mlflow`."
        ) from None
    stdout().print(f"runs       {comparison_url(uri, experiment)}", markup=False)
    stdout().print(f"strategies {comparison_url(uri, experiment, 'strategies')}", markup=False)
    stdout().print(f"arms       {comparison_url(uri, experiment, 'arms')}", markup=False)


def _first_page(url: str) -> str:
    """The run table with our columns when there is an experiment of ours, else the front page."""
    from bt_tracking import comparison_url

    try:
        return comparison_url(url, _experiment(url))
    except _NO_ANSWER:
        return url


def _experiment(url: str) -> str:
    """The id of our experiment on a server."""
    query = urllib.parse.urlencode({"experiment_name": os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT})
    with urllib.request.urlopen(f"{url}/api/2.0/mlflow/experiments/get-by-name?{query}", timeout=10) as answer:
        return str(json.load(answer)["experiment"]["experiment_id"])
