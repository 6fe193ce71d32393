"""Where to record, read from the environment; nothing here touches MLflow, so it costs nothing to import."""

import os
import re
from dataclasses import dataclass

from bt_core.errors import ConfigError

DEFAULT_EXPERIMENT = "bettertogether"
DEFAULT_RETRY_SECONDS = 60.0

_CREDENTIALS = re.compile(r"//[^/\s]*@")
_QUERY = re.compile(r"\?\S*")


@dataclass(frozen=True)
class TrackingSettings:
    """One process's view of the tracking server.

    `pipeline_run` is the orchestrator's id of the whole run; all tasks that share it share one parent run.
    `adopted_run` is a run that the orchestrator already made for this very task.
    """

    uri: str
    experiment_name: str = DEFAULT_EXPERIMENT
    experiment_id: str | None = None
    pipeline_run: str | None = None
    adopted_run: str | None = None
    retry_seconds: float = DEFAULT_RETRY_SECONDS

    @classmethod
    def from_environment(cls, retry_seconds: float | None = None) -> "TrackingSettings | None":
        """Read the variables; None when MLFLOW_TRACKING_URI is not set, which means: do not track.

        Args:
            retry_seconds: time to spend on a server that does not answer; BT_TRACKING_RETRY_SECONDS otherwise.

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
            retry_seconds=_seconds(read("BT_TRACKING_RETRY_SECONDS")) if retry_seconds is None else retry_seconds,
        )


def redact(text: str) -> str:
    """Take user names, passwords and query strings out of every URI in the text."""
    return _QUERY.sub("", _CREDENTIALS.sub("//", text))


def _seconds(text: str | None) -> float:
    if not text:
        return DEFAULT_RETRY_SECONDS
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"BT_TRACKING_RETRY_SECONDS is {text!r}: set it to a number of seconds.") from None
