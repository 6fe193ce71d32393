"""`bt open`: the pages of an MLflow server that show runs best."""

from typing import Annotated
from urllib.parse import urlsplit

import typer

from bt_cli.view.console import stdout
from bt_core.errors import ConfigError
from bt_core.trust.credentials import redact


def open_runs(
    uri: Annotated[
        str, typer.Argument(metavar="URL", help="Address of the MLflow server.", envvar="MLFLOW_TRACKING_URI")
    ] = "http://127.0.0.1:5000",
) -> None:
    """Print the pages of an MLflow server that show runs best.

    The pages list all runs, the strategies averaged over seeds, and the arms of sweeps.
    The server has to be running (bt mlflow).

    Example: bt open http://127.0.0.1:5000
    """
    from bt_tracking import comparison_url
    from bt_tracking.server import served_experiment

    if urlsplit(uri).scheme not in ("http", "https"):
        raise ConfigError(
            f"{redact(uri)} is no server's address: start one with `bt mlflow`, and give its http address."
        )
    experiment = served_experiment(uri)
    stdout().print(f"runs       {comparison_url(uri, experiment)}", markup=False)
    stdout().print(f"strategies {comparison_url(uri, experiment, 'strategies')}", markup=False)
    stdout().print(f"arms       {comparison_url(uri, experiment, 'arms')}", markup=False)
