"""A Kubeflow of ours, and the `bt` command that finds it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bt_cluster import connection
from tests.cli.conftest import bt as bt
from tests.cluster.kubeflow.server import ApiServer

#: What a developer's machine may have set and a test must not see.
FOREIGN = (
    *(connection.HOST, connection.UI, connection.TOKEN, connection.TOKEN_FILE, connection.CA_FILE),
    *(connection.NAMESPACE, connection.SECONDS),
    *("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"),
)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled strategy, p -> w."""
    from bt_pipelines.better_together import Options
    from bt_pipelines.compile import compile_strategy

    return compile_strategy(("p", "w"), tmp_path_factory.mktemp("compiled") / "pipeline.yaml", Options(image="own:1"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """An empty Kubeflow, named by the environment."""
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    with ApiServer() as running:
        monkeypatch.setenv(connection.HOST, running.url)
        yield running
