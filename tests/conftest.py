"""Settings of all tests."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.s3 import Server, s3_server

# The same examples in every run, and none judged by the clock: a check must not fail by chance or by load.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An S3 server that tests share and none stops; each keeps to keys of its own in the bucket `data`."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server
