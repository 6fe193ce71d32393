"""An MLflow client that waits for a server that does not answer, and gives up with one sentence."""

import functools
import logging
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bt_core.errors import TrackingError
from bt_core.retries import Pauses, try_again
from bt_core.trust.credentials import redact
from bt_tracking import sqlite
from bt_tracking.outage import Outage
from bt_tracking.settings import SQLITE, TrackingSettings

LOGGER = logging.getLogger(__name__)

_PAUSES = Pauses(first=0.25, longest=8.0)
_REQUEST_SECONDS = 30.0
_RETRIES, _TIMEOUT = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"
#: Packages whose exceptions mean that the network failed. They are compared by name, so that none is imported.
_NETWORK_PACKAGES = frozenset({"requests", "urllib3", "boto3", "botocore"})
#: No telemetry, no progress bars, and no URL in the log, since it may hold a password.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


#: How databases tell that another process has written the same at the same time, and how MLflow tells that several
#: processes wanted the same version number of a model.
_UNIQUE = re.compile(r"unique constraint|duplicate key|duplicate entry|Model Version creation error", re.IGNORECASE)


class UnreachableError(Exception):
    """The time for retries is used up; the message is the last reason."""


class RetryingClient:
    """`mlflow.MlflowClient` with explicit URIs, whose methods are retried.

    The time for retries counts what failures cost over the client's whole life, so that a slow upload that succeeds
    never uses it up.
    """

    def __init__(self, settings: TrackingSettings) -> None:
        self.settings = settings
        self._seconds_left = settings.retry_seconds
        self._client = self.retried(_new_client, settings.uri)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return functools.partial(self.retried, getattr(self._client, name))

    def retried(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What a function that asks the same server returns, retried as the methods are."""
        budget, started = self._seconds_left, time.monotonic()

        def attempt() -> Any:
            self._seconds_left = budget - (time.monotonic() - started)  # every attempt before this one has failed
            with _LIMITS.held(self._seconds_left):
                return function(*args, **kwargs)

        def is_worth_it(error: Exception) -> bool:
            return _is_transient(error) or _is_simultaneous(error)

        try:
            return try_again(attempt, is_worth_it, _PAUSES, seconds=budget, warn=_warn)
        except Exception as error:
            if not is_worth_it(error):
                raise
            self._seconds_left = 0.0
            raise UnreachableError(_innermost_cause(error)) from error


@contextmanager
def connect(settings: TrackingSettings, recording: str, safe: Path | None = None) -> Iterator[RetryingClient]:
    """A client whose errors become a `TrackingError`.

    Args:
        settings: the server, and how long to wait for it.
        recording: what the block records, as the sentence names it ("stage 2.w").
        safe: the path of the result that the block records.

    Raises:
        TrackingError: when the server does not answer for `settings.retry_seconds`, or refuses.
    """
    quieten()
    from mlflow.exceptions import MlflowException

    where = f"MLflow at {redact(settings.uri)}"
    kept = f"the step's result is safe in {safe}" if safe else "the results of the steps are safe on disk"
    again = "then run the step again, or unset MLFLOW_TRACKING_URI to go on without tracking"
    outage = Outage(settings.folder)
    patience = outage.patience(settings.retry_seconds)
    try:
        yield RetryingClient(replace(settings, retry_seconds=patience))
        outage.end()
    except UnreachableError as error:
        outage.begin()
        raise TrackingError(
            f"{where} could not be reached for {patience:g} s while recording {recording} ({error}); "
            f"{kept}: start the server or correct MLFLOW_TRACKING_URI, {again}."
        ) from None
    except (MlflowException, OSError, sqlite3.Error) as error:
        raise TrackingError(
            f"{where} refused to record {recording} ({_innermost_cause(error)}); {kept}: correct that, {again}."
        ) from None


def quieten() -> None:
    """Have MLflow print less. Variables that the user has set stay; MLflow reads some when it is imported."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    # It logs each error of a database with its traceback, and raises it; `connect` tells it in a sentence.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def _new_client(uri: str) -> Any:
    quieten()
    if uri.startswith(SQLITE):
        sqlite.open_store(uri)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


class RequestLimits:
    """Limits each request of MLflow to one attempt and a time: its own retries would outlast ours.

    MLflow takes both limits from the environment, which belongs to the whole process. So threads share the limits: the
    first thread to enter sets them, the shortest time applies, and the last one to leave restores the environment.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: list[int] = []
        self._before: dict[str, str | None] = {}

    @contextmanager
    def held(self, seconds: float) -> Iterator[None]:
        """Limit MLflow's requests to this many seconds within the block."""
        limit = max(1, int(min(seconds, _REQUEST_SECONDS)))
        with self._lock:
            if not self._inside:
                self._before = {name: os.environ.get(name) for name in (_RETRIES, _TIMEOUT)}
            self._inside.append(limit)
            self._apply()
        try:
            yield
        finally:
            with self._lock:
                self._inside.remove(limit)
                self._apply()

    def _apply(self) -> None:
        limits = {_RETRIES: "0", _TIMEOUT: str(min(self._inside))} if self._inside else self._before
        for name, value in limits.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


#: One for the whole process, as the environment is.
_LIMITS = RequestLimits()


def _warn(error: Exception, _: int) -> None:
    what = "Another task records the same in MLflow" if _is_simultaneous(error) else "MLflow does not answer"
    LOGGER.warning("%s (%s); trying again.", what, _innermost_cause(error))


def _is_transient(error: Exception) -> bool:
    """Whether a retry can help: the network failed, or the server answered with a status such as 5xx."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        status: int = error.get_http_status_code()
        return status in (408, 429) or (status >= 500 and status != 501)
    package = type(error).__module__.split(".")[0]
    return package in _NETWORK_PACKAGES or isinstance(error, ConnectionError | TimeoutError)


def _is_simultaneous(error: Exception) -> bool:
    """Whether another process wrote the same at the same time, as the seeds of a sweep do that begin together.

    MLflow looks whether something is there before it writes it, and the database refuses the second of two writers.
    What was refused has written nothing, so that every call may be repeated. Where MLflow says itself that something
    exists already, a further call would only say so again.
    """
    return getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS" and _UNIQUE.search(str(error)) is not None


def _innermost_cause(error: Exception) -> str:
    """The message of an exception's innermost cause, on one line and without secrets."""
    cause: BaseException = error
    while cause.__cause__ is not None or cause.__context__ is not None:
        cause = cause.__cause__ or cause.__context__ or cause
    text = str(cause).strip() or type(cause).__name__
    return redact(text.splitlines()[0])[:200].rstrip(".")
