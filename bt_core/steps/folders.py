"""Folders that pass through a pipeline: the rows to learn from, the sealed rows, and traces.

The rows come with the run's merged configuration, so that a task has one input for both.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from bt_core.config import Config, read_config
from bt_core.errors import DataError
from bt_core.records import StageReport
from bt_core.steps.handover import REPORTS, copy_program, read_stage_reports, write_stage_reports

_CONFIG = "config.json"


@dataclass(frozen=True)
class RowsFolder:
    """The rows that a program is optimised on."""

    path: Path

    @property
    def train(self) -> Path:
        """JSONL, the rows that traces come from."""
        return self.path / "train.jsonl"

    @property
    def val(self) -> Path:
        """JSONL, the rows that choose between candidates."""
        return self.path / "val.jsonl"

    @property
    def config(self) -> Config:
        """The run's merged configuration."""
        return read_folder_config(self.path)

    def write(self, config: Config) -> None:
        """Add the configuration to the rows."""
        write_folder_config(self.path, config)

    def copy(self, target: Path) -> None:
        """Copy rows and configuration to a folder."""
        target.mkdir(parents=True, exist_ok=True)
        for file in (self.train, self.val, self.path / _CONFIG):
            shutil.copyfile(file, target / file.name)


@dataclass(frozen=True)
class SealedFolder:
    """The sealed test split, and the program before any step, which the final one is compared with."""

    path: Path

    @property
    def test(self) -> Path:
        """JSONL, the sealed rows."""
        return self.path / "test.jsonl"

    @property
    def vanilla(self) -> Path:
        """The program directory of the run's first program."""
        return self.path / "vanilla"

    @property
    def config(self) -> Config:
        """The run's merged configuration."""
        return read_folder_config(self.path)

    def write(self, config: Config, vanilla: Path) -> None:
        """Add the configuration and a copy of the first program to the rows."""
        write_folder_config(self.path, config)
        copy_program(vanilla, self.vanilla)


@dataclass(frozen=True)
class TracesFolder:
    """All that a step learns from: traces of the program on the train rows, the rows, and the traces' own report."""

    path: Path

    @property
    def traces(self) -> Path:
        """JSONL, a trace for each row."""
        return self.path / "traces.jsonl"

    @property
    def reports(self) -> list[StageReport]:
        """The stage's report, as a list of one."""
        return read_stage_reports(self.path / REPORTS)

    @property
    def rows(self) -> RowsFolder:
        """A copy of the rows, so that a step has one input for both."""
        return RowsFolder(self.path / "rows")

    def write(self, report: StageReport, rows: RowsFolder) -> None:
        """Add the report and the rows to the traces."""
        write_stage_reports(self.path / REPORTS, [report])
        rows.copy(self.rows.path)


def write_folder_config(folder: Path, config: Config) -> None:
    """Write the merged configuration into a folder."""
    (folder / _CONFIG).write_text(config.model_dump_json(), encoding="utf-8")


def read_folder_config(folder: Path) -> Config:
    """Read the merged configuration of a folder.

    Raises:
        DataError: when the folder has none.
        ConfigError: when it is no configuration of this release.
    """
    try:
        return read_config((folder / _CONFIG).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{folder / _CONFIG} cannot be read ({error}): pass a folder that an earlier task of the pipeline wrote."
        ) from None
