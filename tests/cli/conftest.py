"""The `bt` command, called as a shell would: its arguments in, status and both streams out."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bt_cli.main import main


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line of an error, less the command's name."""
        (line,) = self.err.splitlines()
        assert line.startswith("bt: ")
        return line.removeprefix("bt: ")


Bt = Callable[..., Outcome]


@pytest.fixture
def bt(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bt:
    """Call `bt` in an empty folder, where no MLflow server is named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def call(*arguments: Any) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["bt", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        captured = capsys.readouterr()
        return Outcome(int(left.value.code or 0), captured.out, captured.err)

    return call
