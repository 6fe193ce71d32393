"""Folders that pass through a sweep: the scores of one seed, and the comparison of all seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bt_core.config import Config
from bt_core.records import StageReport
from bt_core.steps.folders import read_folder_config, write_folder_config
from bt_core.steps.handover import REPORTS, read_stage_reports, write_stage_reports

#: Param of a score's report: the address of the scored program.
PROGRAM_URI = "program_uri"


@dataclass(frozen=True)
class ScoredFolder:
    """The test results of each arm under one seed, the reports of all its stages, and its configuration."""

    path: Path

    def results(self, arm: str) -> Path:
        """JSONL, a `ScoredRow` a line, of an arm (`p -> w`) or of the vanilla program (`vanilla`)."""
        return self.path / f"{arm.replace(' -> ', '-')}.jsonl"

    def traces(self, arm: str) -> Path:
        """JSONL, a trace a line in the order of the results."""
        return self.path / "traces" / self.results(arm).name

    @property
    def reports(self) -> list[StageReport]:
        """The reports of all stages of the seed, each once, under their labels in the sweep."""
        return read_stage_reports(self.path / REPORTS)

    @property
    def config(self) -> Config:
        """The seed's merged configuration."""
        return read_folder_config(self.path)

    def write(self, config: Config, reports: Sequence[StageReport]) -> None:
        """Add the configuration and the reports to the results."""
        write_folder_config(self.path, config)
        unique = {report.stage: report for report in reports}
        write_stage_reports(self.path / REPORTS, list(unique.values()))


@dataclass(frozen=True)
class ComparedFolder:
    """What the comparison writes, and the report of the sweep is made of."""

    path: Path

    @property
    def sweep(self) -> Path:
        """sweep.json without what the report adds from the programs."""
        return self.path / "sweep.json"

    @property
    def results(self) -> Path:
        """The test results of the winner; those of the vanilla program where no arm won."""
        return self.path / "results.jsonl"

    @property
    def traces(self) -> Path:
        """The traces that ended in these results."""
        return self.path / "traces.jsonl"

    @property
    def vanilla(self) -> Path:
        """The test results of the vanilla program."""
        return self.path / "vanilla.jsonl"

    @property
    def config(self) -> Config:
        """The merged configuration of the first seed."""
        return read_folder_config(self.path)
