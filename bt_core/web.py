"""JSON from a web service: a few tries, then one sentence. For retrievers and judges that run elsewhere."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bt_core.errors import WorldError

#: Answers that another try may mend: too many requests, and a server that failed.
_PASSING = (429, 500, 502, 503, 504)
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def ask_json(
    url: str,
    what: str,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] = _NO_HEADERS,
    tries: int = 3,
    wait: float = 1.0,
    timeout: float = 60.0,
) -> Any:
    """The JSON that a service answers.

    Args:
        url: http or https.
        what: names the service in the sentence, such as "The retriever".
        body: sent as JSON by POST; None asks by GET.
        headers: sent along; a secret among them appears in no message.
        tries: how often a service that fails or does not answer is asked.
        wait: seconds before the second try, doubled before each later one.
        timeout: seconds that one try may take.

    Raises:
        WorldError: when it cannot be reached, refuses, or answers no JSON.
    """
    shown = url.partition("?")[0]
    if not url.startswith(("http://", "https://")):
        raise WorldError(f"{what} has the address {shown!r}, which is none: write http://host:port/path.")
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    for left in reversed(range(tries)):
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            reason, may_pass = f"it answered {error.code} {error.reason}", error.code in _PASSING
        except (http.client.InvalidURL, UnicodeEncodeError):  # whose message repeats what may hold a secret
            reason, may_pass = "it is no address", False
        except (OSError, http.client.HTTPException) as error:  # URLError, time-outs, answers that were cut
            reason, may_pass = str(getattr(error, "reason", error)), True
        except ValueError as error:
            raise WorldError(f"{what} at {shown} answered no JSON ({error}): check the address.") from None
        if not (left and may_pass):
            break
        time.sleep(wait)
        wait *= 2
    raise WorldError(f"{what} at {shown} cannot be used ({reason}): check the address and that it runs.")
