"""The commands that speak to Kubeflow explain themselves, and say so without one."""

import pytest

from tests.cli.conftest import Bt
from tests.cli.conftest import bt as bt

COMMANDS = ("upload", "submit", "schedule", "runs", "logs", "cancel")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(command: str, bt: Bt) -> None:
    ended = bt(command, "--help")
    assert ended.status == 0
    assert f"bt {command}" in ended.out.partition("Example")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_kubeflow_is_named(command: str, bt: Bt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KF_PIPELINES_ENDPOINT", raising=False)
    options = {
        "upload": ["--strategy", "p"],
        "schedule": ["--every", "1h"],
        "logs": ["mine"],
        "cancel": ["mine"],
    }.get(command, [])
    ended = bt(command, *options)
    assert (ended.status, ended.out) == (2, "")
    assert ended.sentence.startswith("No Kubeflow is named: give --host or set KF_PIPELINES_ENDPOINT")
