"""What a Kubeflow can answer, or not: one sentence each, and the right exit status."""

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bt_cluster.connection import Connection
from bt_core.errors import ConfigError
from tests.cli.conftest import Bt
from tests.cluster.kubeflow.server import ApiServer, Fault

COMMANDS = {
    "upload": ("upload", "{package}"),
    "submit": ("submit", "{package}"),
    "schedule": ("schedule", "{package}", "--every", "1h"),
    "runs": ("runs",),
}
ANSWERS = {
    401: (2, "does not accept requests without a token (401): set KF_PIPELINES_TOKEN, or name a --token-file."),
    403: (2, "(403: as the test wants it): ask for permission."),
    500: (1, "(500: as the test wants it): try again later."),
    503: (1, "(503: as the test wants it): try again later."),
}


@pytest.mark.parametrize(
    ("command", "status"),
    [*((command, status) for command in COMMANDS for status in ANSWERS if status != 503), ("runs", 503)],
)
def test_errors_of_the_api(command: str, status: int, server: ApiServer, bt: Bt, package: Path) -> None:
    server.faults.append(Fault(status=status))
    ended = bt(*(part.format(package=package) for part in COMMANDS[command]))
    left, words = ANSWERS[status]
    assert (ended.status, ended.out) == (left, "")
    assert ended.sentence.startswith(f"Kubeflow at {server.url} ")
    assert ended.sentence.endswith(words)


@pytest.mark.parametrize(
    ("path", "command"),
    [("pipelines", "upload"), ("upload_version", "upload"), ("/runs", "submit"), ("recurringruns", "schedule")],
)
@pytest.mark.parametrize("status", [400, 404, 409])
def test_refusals_of_what_is_created(
    path: str, command: str, status: int, server: ApiServer, bt: Bt, package: Path
) -> None:
    server.faults.append(Fault("POST", path, status=status))
    ended = bt(*(part.format(package=package) for part in COMMANDS[command]))
    assert (ended.status, ended.out) == (2, "")
    assert "Kubeflow" in ended.sentence
    assert "cannot" in ended.sentence
    assert len([one for one in server.requests if one.method == "POST" and path in one.path]) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_connection_that_is_cut(command: str, server: ApiServer, bt: Bt, package: Path) -> None:
    server.faults.append(Fault(cut="before"))
    ended = bt(*(part.format(package=package) for part in COMMANDS[command]))
    assert (ended.status, ended.out) == (1, "")
    assert f"Kubeflow at {server.url} cut the connection when asked to" in ended.sentence


def test_reading_is_tried_again_and_creating_is_not(server: ApiServer, bt: Bt, package: Path) -> None:
    server.faults += [Fault("GET", cut="before", times=2), Fault("GET", "experiments", status=502, times=1)]
    assert bt("submit", package).status == 0
    server.faults.append(Fault("POST", "/runs", cut="after", times=1))
    ended = bt("submit", package)
    assert (ended.status, len(server.state.runs)) == (1, 2)
    assert "it may have done so: look before you try again." in ended.sentence


def test_a_slow_answer(server: ApiServer, bt: Bt, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BT_CLUSTER_TIMEOUT_SECONDS", "0.3")
    bt("upload", package)
    server.faults.append(Fault("POST", "/runs", seconds=1, times=1))
    ended = bt("submit", package)
    assert (ended.status, ended.out) == (1, "")
    assert "did not start the run p-w-" in ended.sentence
    assert "within 0.3 s, and may still do so: look before you try again." in ended.sentence


def test_nobody_there(server: ApiServer, bt: Bt) -> None:
    server.stop()
    ended = bt("runs")
    assert (ended.status, ended.sentence) == (
        1,
        f"Kubeflow at {server.url} cannot be reached to list runs: check --host and the network.",
    )


def test_a_login_page(server: ApiServer, bt: Bt) -> None:
    server.faults.append(Fault(page="<html>Log in</html>"))
    ended = bt("runs")
    assert (ended.status, "perhaps a login: check --host" in ended.sentence) == (2, True)


@pytest.mark.parametrize("where", ["variable", "file", "pod"])
def test_a_token_is_sent_and_never_shown(
    where: str, server: ApiServer, bt: Bt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.token = "s3cret"
    (tmp_path / "token").write_text("s3cret\n")
    options = ["--token-file", "token"] if where == "file" else []
    if where == "variable":
        monkeypatch.setenv("KF_PIPELINES_TOKEN", "s3cret")
    elif where == "pod":
        monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    assert bt("runs", *options).status == 0
    server.token = "another"
    ended = bt("runs", *options)
    assert (ended.status, ended.out) == (2, "")
    assert "does not accept the token that it was sent (401)" in ended.sentence
    assert "s3cret" not in ended.err + repr(
        Connection.find(environment={"KF_PIPELINES_TOKEN": "s3cret"}, host="http://a")
    )


def test_the_namespace_is_sent(server: ApiServer, bt: Bt, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bt("submit", package, "--namespace", "team").status == 0
    assert [one.namespace for one in (*server.state.pipelines.values(), *server.state.experiments.values())] == [
        "team"
    ] * 2
    monkeypatch.setenv("KF_PIPELINES_NAMESPACE", "team")
    assert bt("runs").status == 0
    assert server.sent("GET", "/runs")[0].query["namespace"] == "team"
    server.faults.append(Fault(status=403))
    assert "does not allow you to list runs in the namespace team (403" in bt("runs").sentence


def test_a_proxy_is_used(server: ApiServer, bt: Bt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url.replace("http://", "http://me:pw@"))
    assert bt("runs", "--host", "http://kubeflow.invalid/pipeline").status == 0
    assert server.requests[-1].path == "/pipeline/apis/v2beta1/runs"
    assert server.requests[-1].headers["Host"] == "kubeflow.invalid"
    assert server.requests[-1].headers["Proxy-Authorization"].startswith("Basic ")
    server.stop()
    ended = bt("runs", "--host", "http://kubeflow.invalid/pipeline")
    assert (ended.status, "cannot be reached through the proxy" in ended.sentence) == (1, True)
    monkeypatch.setenv("no_proxy", "kubeflow.invalid")
    assert "cannot be reached to list runs" in bt("runs", "--host", "http://kubeflow.invalid").sentence


def _certificate(folder: Path) -> Path:
    """Key and certificate of 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return folder / "server.pem"


def test_certificates_of_ones_own(server: ApiServer, bt: Bt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path))
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    host = ("--host", server.url.replace("http:", "https:"))
    ended = bt("runs", *host)
    assert (ended.status, ended.out) == (2, "")
    assert "cannot be trusted to list runs" in ended.sentence
    assert ended.sentence.endswith("name the certificate of its authority by --ca-file.")
    assert bt("runs", *host, "--ca-file", "ca.pem").status == 0
    monkeypatch.setenv("KF_PIPELINES_CA_CERT", str(tmp_path / "ca.pem"))
    assert bt("runs", *host).status == 0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "No Kubeflow is named: give --host or set KF_PIPELINES_ENDPOINT"),
        ({"host": "kubeflow.example.com"}, "`kubeflow.example.com` is no address of Kubeflow"),
        ({"host": "http://[kubeflow"}, "`http://[kubeflow` is no address of Kubeflow"),
        ({"host": "http://kubeflow:http"}, "`http://kubeflow:http` is no address of Kubeflow"),
        ({"host": "https://me:hunter2@kubeflow.example.com"}, "holds a user name or password"),
        ({"host": "me:hunter2@kubeflow.example.com"}, "holds a user name or password"),
        ({"host": "http://a", "environment": {"KF_PIPELINES_TOKEN": "hunter2\nhunter2"}}, "holds a line break"),
        ({"host": "http://a", "environment": {"KF_PIPELINES_TOKEN": "“hunter2”"}}, "or a character of no token"),
        ({"host": "http://a", "ca_file": Path("gone.pem")}, "The CA file gone.pem does not exist"),
        ({"host": "http://a", "token_file": Path("gone")}, "The token file gone cannot be read (No such file"),
        ({"host": "http://a", "environment": {"BT_CLUSTER_TIMEOUT_SECONDS": "x"}}, "BT_CLUSTER_TIMEOUT_SECONDS is 'x'"),
        ({"host": "http://a", "environment": {"BT_CLUSTER_TIMEOUT_SECONDS": "nan"}}, "SECONDS is 'nan': set it to a"),
        ({"host": "http://a", "environment": {"BT_CLUSTER_TIMEOUT_SECONDS": "inf"}}, "SECONDS is 'inf': set it to a"),
    ],
    ids=[
        "none",
        "no-scheme",
        "bracket",
        "port",
        "password",
        "password-without-scheme",
        "token-of-two-lines",
        "token-in-quotes",
        "ca",
        "token",
        "seconds",
        "seconds-nan",
        "seconds-infinity",
    ],
)
def test_connections_that_are_none(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Connection.find(**{"environment": {}, **settings})
    assert sentence in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_address_may_be_pasted_from_a_browser() -> None:
    found = Connection.find(host="https://kubeflow.example.com/pipeline/#/runs", environment={})
    assert found.run_link("1") == "https://kubeflow.example.com/pipeline/#/runs/details/1"
