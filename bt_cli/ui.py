"""`bt mlflow`: the MLflow UI on the runs of a folder."""

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Annotated

import typer

from bt_cli.console import stderr, stdout
from bt_cli.run_folder import RUNS
from bt_core.errors import ConfigError

#: The database of a local tracking store, as `bt_tracking.server.local_store` names it.
STORE = "mlflow.db"


def mlflow(
    runs: Annotated[Path, typer.Argument(metavar="[RUNS_DIR]", help="The folder that holds the runs.")] = RUNS,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=1, max=65535, show_default="5000 or a free one")] = None,
) -> None:
    """Serve the MLflow UI on the runs of a folder, until Ctrl-C.

    Example: bt mlflow runs --port 5001
    """
    from bt_tracking.server import start_server

    if not (runs / STORE).is_file():
        raise ConfigError(
            f"The folder {runs} holds no tracked runs ({STORE}): make one with `bt run`, or name another."
        )
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


def _first_page(url: str) -> str:
    """The run table with our columns when there is an experiment of ours, else the front page."""
    from bt_tracking import comparison_url
    from bt_tracking.settings import DEFAULT_EXPERIMENT

    query = urllib.parse.urlencode({"experiment_name": DEFAULT_EXPERIMENT})
    try:
        with urllib.request.urlopen(f"{url}/api/2.0/mlflow/experiments/get-by-name?{query}", timeout=10) as answer:
            return comparison_url(url, json.load(answer)["experiment"]["experiment_id"])
    except (urllib.error.URLError, KeyError, ValueError):
        return url
