"""Requests to a web service, such as a retriever or a judge: a few tries, then one sentence."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bt_core.errors import WorldError
from bt_core.retries import Pauses, try_again

#: Statuses that may pass by themselves: too many requests, and a server that failed.
_TRANSIENT = (429, 500, 502, 503, 504)
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Unanswered(Exception):
    """The service gave no usable answer; the message is the reason and holds no part of the address."""


def send(
    url: str,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] = _NO_HEADERS,
    tries: int = 3,
    wait: float = 1.0,
    timeout: float = 60.0,
) -> bytes:
    """The content that a service answers with.

    Args:
        url: http or https.
        body: sent as JSON by POST; None asks by GET.
        headers: sent along; a secret among them appears in no message.
        tries: how often a service that fails or does not answer is asked.
        wait: seconds before the second try, doubled before each later one.
        timeout: seconds that one try may take.

    Raises:
        Unanswered: when the service cannot be reached or refuses.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})

    def ask() -> bytes:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return bytes(answer.read())

    try:
        return try_again(ask, _is_transient, Pauses(wait), tries=tries)
    except urllib.error.HTTPError as error:
        raise Unanswered(f"it answered {error.code} {error.reason}") from None
    except (http.client.InvalidURL, UnicodeEncodeError):  # whose message repeats what may hold a secret
        raise Unanswered("it is no address") from None
    except (OSError, http.client.HTTPException) as error:  # URLError, time-outs, answers that were cut
        raise Unanswered(str(getattr(error, "reason", error))) from None


def ask_json(
    url: str,
    what: str,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] = _NO_HEADERS,
    tries: int = 3,
    wait: float = 1.0,
    timeout: float = 60.0,
) -> Any:
    """The JSON that a service answers with.

    Args:
        url: http or https.
        what: names the service in the sentence, such as "The retriever".
        body: as for `send`, and so are `headers`, `tries`, `wait` and `timeout`.

    Raises:
        WorldError: when the service cannot be reached, refuses, or answers no JSON.
    """
    shown = url.partition("?")[0]
    if not url.startswith(("http://", "https://")):
        raise WorldError(f"{what} has the address {shown!r}, which is none: write http://host:port/path.")
    try:
        return json.loads(send(url, body, headers, tries, wait, timeout))
    except Unanswered as reason:
        raise WorldError(f"{what} at {shown} cannot be used ({reason}): check the address and that it runs.") from None
    except ValueError as error:
        raise WorldError(f"{what} at {shown} answered no JSON ({error}): check the address.") from None


def _is_transient(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code in _TRANSIENT
    return isinstance(error, (OSError, http.client.HTTPException)) and not isinstance(error, http.client.InvalidURL)
