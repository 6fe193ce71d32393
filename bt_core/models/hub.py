"""Models of the Hugging Face hub: downloaded into its own cache, and asked for again while the hub fails."""

from collections.abc import Callable
from pathlib import Path

from bt_core.errors import ModelError, WorldError, first_line
from bt_core.errors import warn as say
from bt_core.retries import Pauses, try_again

#: For how many seconds a hub that fails is asked again, as long as a store and a tracking server are by default.
PATIENCE = 60.0
PAUSES = Pauses(first=1.0, longest=8.0, is_random=True)
#: Statuses that may pass by themselves: timed out, too many requests, and a hub that failed.
_TRANSIENT = (408, 429, 500, 502, 503, 504)


def download(name: str, revision: str | None, patterns: list[str]) -> Path:
    """The folder of a model's snapshot, whose name is its commit. What is there already is not fetched again.

    Args:
        name: the model's id on the hub.
        revision: a commit, branch or tag; None: the main branch.
        patterns: shell patterns of the files that are fetched.

    Raises:
        ModelError: when the hub refuses, or has no such model.
        WorldError: when it cannot be reached or fails for longer than `PATIENCE`.
    """
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    def fetch() -> Path:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))

    try:
        return _persist(fetch, name)
    except (httpx.HTTPError, HFValidationError, OSError) as error:
        reason = first_line(error)
        if _is_transient(error):
            raise WorldError(
                f"The model `{name}` could not be downloaded, the hub cannot be reached or fails ({reason}): try again"
                " later, or give `model` a local folder."
            ) from None
        raise ModelError(
            f"The model `{name}` is no folder here and could not be downloaded from the hub ({reason}): check the id."
        ) from None


def _persist(fetch: Callable[[], Path], name: str) -> Path:
    def warn(error: Exception, number: int) -> None:
        if number == 1:
            text = f"The hub does not give the model `{name}` ({first_line(error)})."
            say(f"{text} Asking again for up to {PATIENCE:g} s.")

    return try_again(fetch, _is_transient, PAUSES, seconds=PATIENCE, warn=warn)


def _is_transient(error: Exception) -> bool:
    """Whether the hub failed or was not reached, itself or as the cause: the snapshot wraps what its first request met.

    Without a network on purpose (`HF_HUB_OFFLINE`) nothing is tried again.
    """
    import httpx
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    met = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else error
    if isinstance(met, HfHubHTTPError):
        return met.response.status_code in _TRANSIENT
    return isinstance(met, httpx.TransportError) and not isinstance(met, httpx.UnsupportedProtocol)
