"""`bt mlflow`: the MLflow UI on the runs of a folder."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from bt_cli.run_folder import RUNS
from bt_cli.view.console import stderr, stdout
from bt_core.errors import ConfigError, TrackingError


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
    from bt_tracking.server import DATABASE, start_server

    if not (runs / DATABASE).is_file():
        raise ConfigError(
            f"The folder {runs} holds no tracked runs ({DATABASE}): make one with `bt run`, or name another."
        )
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with SIGINT ignored
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
    """The table of our runs with its columns where the server has any of our runs, else the front page."""
    from bt_tracking import comparison_url
    from bt_tracking.server import served_experiment

    try:
        return comparison_url(url, served_experiment(url))
    except TrackingError:
        return url
