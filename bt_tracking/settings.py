"""The tracking settings, read from the environment. The module does not import MLflow, so it is light to import."""

import os
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from bt_core.errors import ConfigError
from bt_core.retries import read_seconds

DEFAULT_EXPERIMENT = "bettertogether"
DEFAULT_RETRY_SECONDS = 60.0
#: The variable that names the folder of a run on this machine.
FOLDER_VARIABLE = "BT_RUN_FOLDER"
#: How the URI of a SQLite file begins.
SQLITE = "sqlite:///"


@dataclass(frozen=True)
class TrackingSettings:
    """How a process reaches the tracking server, and what it records there.

    `pipeline_run` is the orchestrator's id of the pipeline run; all its tasks share one parent run.
    `adopted_run` is the MLflow run that the orchestrator has created for this task, if any.
    `folder` is the folder of a run on this machine, which is claimed (`bt_core.shared_files`) while the run lives.
    """

    uri: str
    experiment_name: str = DEFAULT_EXPERIMENT
    experiment_id: str | None = None
    pipeline_run: str | None = None
    adopted_run: str | None = None
    folder: str | None = None
    retry_seconds: float = DEFAULT_RETRY_SECONDS

    @classmethod
    def from_environment(cls, retry_seconds: float | None = None) -> "TrackingSettings | None":
        """Read the environment variables; None when MLFLOW_TRACKING_URI is not set, and nothing is recorded then.

        Args:
            retry_seconds: how long to wait for a server that does not answer; BT_TRACKING_RETRY_SECONDS when left out.

        Raises:
            ConfigError: when BT_TRACKING_RETRY_SECONDS is no number of seconds.
        """
        read = os.environ.get
        uri = read("MLFLOW_TRACKING_URI")
        if not uri:
            return None
        return cls(
            uri=uri,
            experiment_name=read("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT,
            experiment_id=read("MLFLOW_EXPERIMENT_ID") or None,
            pipeline_run=read("KFP_RUN_ID") or read("BT_RUN_ID") or None,
            adopted_run=read("MLFLOW_RUN_ID") or None,
            folder=read(FOLDER_VARIABLE) or None,
            retry_seconds=_seconds(read("BT_TRACKING_RETRY_SECONDS")) if retry_seconds is None else retry_seconds,
        )


def store_uri(path: Path) -> str:
    """The tracking URI of a SQLite file with any name. In a URI, `%` begins a code and `?` the options."""
    return SQLITE + str(path).replace("%", "%25").replace("?", "%3F")


def store_path(uri: str) -> Path:
    """The SQLite file of a tracking URI."""
    return Path(urllib.parse.unquote(uri.removeprefix(SQLITE).partition("?")[0]))


def absolute(uri: str) -> str:
    """The tracking URI with an absolute path, where it is a SQLite file in the current folder (`sqlite:///mlflow.db`).

    Tasks run in folders of their own, not where `bt` was started.
    """
    path = uri.removeprefix(SQLITE)
    if not uri.startswith(SQLITE) or not path or path.startswith(("/", ":memory:", "file:")):
        return uri
    folder = store_uri(Path.cwd())
    return f"{folder}/{path}"


def _seconds(text: str | None) -> float:
    if not text:
        return DEFAULT_RETRY_SECONDS
    try:
        return read_seconds(text)
    except ValueError:
        raise ConfigError(f"BT_TRACKING_RETRY_SECONDS is {text!r}: set it to a number of seconds.") from None
