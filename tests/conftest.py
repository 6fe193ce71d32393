"""Settings of all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.s3 import Server, s3_server

# The same examples in every run, and none judged by the clock: a check must not fail by chance or by load.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")

#: Set in the processes of pytest-xdist, which run tests side by side.
IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if IS_WORKER:
    # By default a thread of torch that waits for another keeps its core busy, which the other worker needs. Read once,
    # when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


@pytest.fixture(scope="session")
def common_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of the tests alone, which all its workers see."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if IS_WORKER else own


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An S3 server that tests share and none stops; each keeps to keys of its own in the bucket `data`."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server
