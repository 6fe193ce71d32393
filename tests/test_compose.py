"""The command of docker/compose.yaml that makes the buckets, against a real S3 server."""

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.s3 import WEED, s3_server

FILE = Path(__file__).parents[1] / "docker" / "compose.yaml"


def test_making_the_buckets_again_is_no_failure(tmp_path: Path) -> None:
    """`docker compose up` starts the service `bucket` every time, and MLflow's starts after its success alone."""
    services: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]
    with s3_server(tmp_path / "s3") as server:
        options = dict(part.lstrip("-").split("=", 1) for part in server.command if "=" in part)
        master = f"127.0.0.1:{options['master.port']}.{options['master.port.grpc']}"
        command = [part.replace("s3:9333", master) for part in services["bucket"]["entrypoint"]]
        environment = {**os.environ, "PATH": f"{Path(str(WEED)).parent}:{os.environ['PATH']}"}
        for _ in range(2):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        assert {bucket["Name"] for bucket in server.client.list_buckets()["Buckets"]} == {"data", "mlflow"}
