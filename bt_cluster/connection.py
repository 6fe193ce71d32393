"""The address and credentials of a Kubeflow: from options first, then from the variables of Kubeflow's own SDK."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from bt_core.errors import ConfigError
from bt_core.retries import read_seconds

HOST = "KF_PIPELINES_ENDPOINT"
UI = "KF_PIPELINES_UI_ENDPOINT"
TOKEN = "KF_PIPELINES_TOKEN"
TOKEN_FILE = "KF_PIPELINES_SA_TOKEN_PATH"
CA_FILE = "KF_PIPELINES_CA_CERT"
NAMESPACE = "KF_PIPELINES_NAMESPACE"
SECONDS = "BT_CLUSTER_TIMEOUT_SECONDS"
#: The file in which Kubeflow gives a pod the token of its service account.
POD_TOKEN_FILE = Path("/var/run/secrets/kubeflow/pipelines/token")

DEFAULT_SECONDS = 30.0


@dataclass(frozen=True)
class Connection:
    """How to reach the API.

    Attributes:
        host: address of the API, without the `/apis/...` part.
        ui: address of the web pages, used in links.
        namespace: namespace on a multi-user Kubeflow; empty on others.
        token: bearer token; empty for none. It is never printed.
        ca_file: file of certificates to trust instead of the usual ones; empty for the usual ones.
        proxy: address of a proxy; empty for none.
        seconds: time to wait for an answer.
    """

    host: str
    ui: str
    namespace: str = ""
    token: str = field(default="", repr=False)
    ca_file: str = ""
    proxy: str = field(default="", repr=False)
    seconds: float = DEFAULT_SECONDS

    @classmethod
    def find(
        cls,
        host: str | None = None,
        namespace: str | None = None,
        ca_file: Path | None = None,
        token_file: Path | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> "Connection":
        """The connection that the options (None where not given) and the environment describe.

        Raises:
            ConfigError: when no host is named, or a file or address is not usable.
        """
        read = environment.get
        address = _address(host or read(HOST, ""))
        ui = read(UI, "")
        return cls(
            host=address,
            ui=_address(ui) if ui else address,
            namespace=namespace or read(NAMESPACE, ""),
            token=_token(token_file, environment),
            ca_file=_ca_file(str(ca_file or "") or read(CA_FILE, "")),
            proxy=_proxy(address),
            seconds=_seconds(read(SECONDS, "")),
        )

    def run_link(self, run_id: str) -> str:
        return f"{self.ui}/#/runs/details/{run_id}"

    def version_link(self, pipeline_id: str, version_id: str) -> str:
        return f"{self.ui}/#/pipelines/details/{pipeline_id}/version/{version_id}"

    def schedule_link(self, schedule_id: str) -> str:
        return f"{self.ui}/#/recurringrun/details/{schedule_id}"


def _address(text: str) -> str:
    if not text:
        raise ConfigError(
            f"No Kubeflow is named: give --host or set {HOST}, for example https://kubeflow.example.com/pipeline."
        )
    if "@" in text.partition("#")[0]:
        raise ConfigError(f"The address of Kubeflow holds a user name or password: leave them out, and set {TOKEN}.")
    try:
        parts = urlsplit(text)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, half a bracket
        is_address = False
    if not is_address:
        raise ConfigError(f"`{text}` is no address of Kubeflow: write http://... or https://..., as in a browser.")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")  # without the fragment after #


def _token(file: Path | None, environment: Mapping[str, str]) -> str:
    token = _read_token(file, environment)
    if not token.isascii() or not token.isprintable():  # Python's own error would show it
        raise ConfigError(f"The token holds a line break or a character of no token: check --token-file or {TOKEN}.")
    return token


def _read_token(file: Path | None, environment: Mapping[str, str]) -> str:
    """The token from a named file, else from the variable, else from the file of a pod's service account."""
    if file is None and environment.get(TOKEN):
        return environment[TOKEN].strip()
    named = file or (Path(environment[TOKEN_FILE]) if environment.get(TOKEN_FILE) else None)
    if named is None and not POD_TOKEN_FILE.is_file():
        return ""
    path = named or POD_TOKEN_FILE
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ConfigError(f"The token file {path} cannot be read ({reason}): check --token-file.") from None


def _ca_file(path: str) -> str:
    if path and not Path(path).is_file():
        raise ConfigError(f"The CA file {path} does not exist: check --ca-file or {CA_FILE}.")
    return path


def _proxy(host: str) -> str:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY give for the host; empty for none."""
    parts = urlsplit(host)
    return "" if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme, "")


def _seconds(text: str) -> float:
    try:
        seconds = read_seconds(text or str(DEFAULT_SECONDS))
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise ConfigError(f"{SECONDS} is {text!r}: set it to a number of seconds above zero.")
    return seconds
