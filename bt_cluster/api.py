"""A client of Kubeflow's API, whose every failure is one sentence.

It uses the API objects below `kfp.Client`, and not that class, which waits for an answer without a time limit, prints,
and asks the server for its health five times before it says that a token is wrong.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

import kfp_server_api as kfp
import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, ProxyError, ReadTimeoutError, SSLError

from bt_cluster.connection import TOKEN, Connection
from bt_core.errors import BtError, UserError, WorldError

#: Requests that read or delete are tried again, and any request whose connection was never made: none of them can
#: take effect twice.
_RETRY = urllib3.Retry(
    total=3,
    read=2,
    backoff_factor=0.2,
    status_forcelist=(502, 503, 504),
    allowed_methods=("GET", "DELETE"),
    raise_on_status=False,
)

PAGE = 100
#: In the words of the API server and of its database, both of which come with status 500.
_TOO_LONG = re.compile("length cannot exceed|too long")


class Api:
    """The services of a Kubeflow installation.

    Attributes:
        pipelines, uploads, experiments, runs, recurring_runs: services of `kfp_server_api`, called through `call`.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._client = client = _Client(_configuration(connection))
        self.pipelines = kfp.PipelineServiceApi(client)
        self.uploads = kfp.PipelineUploadServiceApi(client)
        self.experiments = kfp.ExperimentServiceApi(client)
        self.runs = kfp.RunServiceApi(client)
        self.recurring_runs = kfp.RecurringRunServiceApi(client)

    def call(
        self,
        doing: str,
        function: Callable[..., Any],
        *args: Any,
        expected: Collection[int] = (),
        advice: str = "correct what it names",
        **kwargs: Any,
    ) -> Any:
        """Call a function of a service.

        Args:
            doing: the purpose, as the sentence names it after "Kubeflow cannot".
            function: a method of one of the services.
            expected: statuses that are no error here. The answer is None then.
            advice: what to do where Kubeflow calls the request itself wrong (400).

        Raises:
            UserError: when Kubeflow refuses the call.
            WorldError: when Kubeflow fails or cannot be reached.
        """
        seconds = self.connection.seconds
        kwargs = {name: value for name, value in kwargs.items() if value not in ("", None)}
        try:
            return function(*args, _request_timeout=(min(seconds, 10.0), seconds), **kwargs)
        except kfp.ApiException as error:
            if error.status in expected:
                return None
            raise self._refused(doing, error, advice) from None
        except HTTPError as error:
            raise self._unreached(doing, error) from None

    def every(self, doing: str, function: Callable[..., Any], field: str, *args: Any, **kwargs: Any) -> list[Any]:
        """The items of all pages of a listing; `field` is the attribute of a page that holds its items."""
        items: list[Any] = []
        token = ""
        while True:
            page = self.call(doing, function, *args, page_token=token, page_size=PAGE, **kwargs)
            items += getattr(page, field) or []
            token = page.next_page_token or ""
            if not token:
                return items

    def text(self, doing: str, path: str, expected: Collection[int] = (), **query: str) -> str | None:
        """What a path of the server answers, for what `kfp_server_api` has no function for; None as in `call`.

        Raises:
            UserError, WorldError: as in `call`.
        """
        found: str | None = self.call(doing, self._client.read, path, query, expected=expected)
        return found

    def document(self, doing: str, path: str, expected: Collection[int] = ()) -> Any:
        """The JSON value that a path of the server answers; None as in `call`.

        Raises:
            UserError: as in `call`, and when the answer is no JSON.
            WorldError: as in `call`.
        """
        found = self.text(doing, path, expected)
        return None if found is None else self._client.parsed(found)

    def _refused(self, doing: str, error: kfp.ApiException, advice: str) -> BtError:
        where, status, said = f"Kubeflow at {self.connection.host}", error.status, _said(error)
        if status == 401:
            token = "the token that it was sent" if self.connection.token else "requests without a token"
            return UserError(f"{where} does not accept {token} (401): set {TOKEN}, or name a --token-file.")
        if status == 403:
            namespace = f" in the namespace {self.connection.namespace}" if self.connection.namespace else ""
            return UserError(f"{where} does not allow you to {doing}{namespace} (403{said}): ask for permission.")
        if status == 404:
            return UserError(
                f"{where} cannot {doing}, since something that it needs does not exist (404{said}): check the names."
            )
        if status == 409:
            return UserError(f"{where} cannot {doing}, since it exists already (409{said}): choose another name.")
        if 400 <= (status or 0) < 500:
            return UserError(f"{where} cannot {doing} ({status}{said}): {advice}.")
        if status and _TOO_LONG.search(str(error.body)):
            return UserError(f"{where} cannot {doing} ({status}{said}): choose shorter names.")
        if status:
            return WorldError(f"{where} failed to {doing} ({status}{said}): try again later.")
        return self._untrusted(doing, str(error.reason))

    def _unreached(self, doing: str, error: Exception) -> BtError:
        reason = error.reason if isinstance(error, MaxRetryError) and error.reason else error
        where = f"Kubeflow at {self.connection.host}"
        if isinstance(reason, SSLError):
            return self._untrusted(doing, str(reason))
        if isinstance(reason, ProxyError):
            return WorldError(
                f"{where} cannot be reached through the proxy: check HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
            )
        if isinstance(reason, ReadTimeoutError):
            return WorldError(
                f"{where} did not {doing} within {self.connection.seconds:g} s, and may still do so: look before you"
                " try again."
            )
        if isinstance(reason, urllib3.exceptions.NewConnectionError | ConnectTimeoutError):
            return WorldError(f"{where} cannot be reached to {doing}: check --host and the network.")
        return WorldError(
            f"{where} cut the connection when asked to {doing}; it may have done so: look before you try again."
        )

    def _untrusted(self, doing: str, reason: str) -> BtError:
        first = reason.strip().splitlines()[-1] if reason.strip() else "unknown"
        return UserError(
            f"Kubeflow at {self.connection.host} cannot be trusted to {doing} ({first[:200].rstrip('.')}): name the"
            " certificate of its authority by --ca-file."
        )


class _Client(kfp.ApiClient):
    """An API client that refuses answers other than JSON, such as a login page, which comes with status 200."""

    def deserialize(self, response: Any, response_type: Any) -> Any:
        if response_type == "bytes":
            return response.data
        self.parsed(response.data)
        return super().deserialize(response, response_type)

    def parsed(self, text: str) -> Any:
        """The JSON value of an answer."""
        try:
            return json.loads(text or "null")
        except ValueError:
            raise UserError(
                f"{self.configuration.host} answers with a page that is not the API's, perhaps a login: check --host"
                f" (https://.../pipeline where Kubeflow's dashboard is in front), and set {TOKEN}."
            ) from None

    def read(self, path: str, query: Mapping[str, str], _request_timeout: tuple[float, float]) -> str:
        """The text that a path answers."""
        found: bytes = self.call_api(
            path,
            "GET",
            query_params=list(query.items()),
            response_type="bytes",
            auth_settings=["Bearer"],
            _return_http_data_only=True,
            _request_timeout=_request_timeout,
        )
        return found.decode(errors="replace")


def _configuration(connection: Connection) -> kfp.Configuration:
    items = kfp.Configuration(host=connection.host)
    items.retries = _RETRY
    if connection.token:
        items.api_key["authorization"] = connection.token
        items.api_key_prefix["authorization"] = "Bearer"
    if connection.ca_file:
        items.ssl_ca_cert = connection.ca_file
    if connection.proxy:
        items.proxy = connection.proxy
        parts = urlsplit(connection.proxy)
        if parts.username:
            items.proxy_headers = urllib3.make_headers(proxy_basic_auth=f"{parts.username}:{parts.password or ''}")
    return items


def _said(error: kfp.ApiException) -> str:
    """The first line of Kubeflow's own message."""
    try:
        content = json.loads(error.body or "null")
    except ValueError:
        content = None
    text = ""
    if isinstance(content, dict):
        text = str(content.get("message") or content.get("error_message") or content.get("error") or "")
    return f": {text.strip().splitlines()[0][:300].rstrip('.')}" if text.strip() else ""


def equals(key: str, value: str) -> str:
    """The filter of a listing for entries whose `key` has this value."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "string_value": value}]})
