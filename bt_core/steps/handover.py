"""What lies beside the program in a program directory while a pipeline passes it on.

    best/           the best program by validation so far, where that is an earlier one
    reports.jsonl   the reports of the stages that led to the program, in order

A task so needs no other input to know what was done before it. Neither is part of the program, and a program that is
shipped has neither.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from bt_core.errors import DataError
from bt_core.formats.reports import load_report
from bt_core.records import StageReport, dump_report

BEST, REPORTS = "best", "reports.jsonl"
#: The param of the report of a step whose program is the one that it began with.
UNCHANGED = "unchanged"


def best_program(folder: Path) -> Path:
    """The directory of the best program by validation so far: `folder` itself, or the earlier one in it."""
    earlier = folder / BEST
    return earlier if earlier.is_dir() else folder


def stage_reports(folder: Path) -> list[StageReport]:
    """The reports of the stages that led to the program; empty where no pipeline made it.

    Raises:
        DataError: when a report cannot be read.
    """
    path = folder / REPORTS
    return read_stage_reports(path) if path.is_file() else []


def read_stage_reports(path: Path) -> list[StageReport]:
    """Read a file that `write_stage_reports` wrote.

    Raises:
        DataError: when the file or a report in it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # not splitlines: JSON may hold U+2028
        return [load_report(line) for line in lines if line]
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} holds no stage reports of this release ({error}): run the task that wrote it again."
        ) from None


def write_stage_reports(path: Path, reports: Sequence[StageReport]) -> None:
    """Write reports to a file, one a line."""
    path.write_text("".join(f"{dump_report(report)}\n" for report in reports), encoding="utf-8")


def hand_over(folder: Path, reports: Sequence[StageReport], best: Path | None = None) -> None:
    """Put beside the program what the tasks after this one need; doing so twice changes nothing.

    Args:
        folder: the program directory.
        reports: the reports of the stages that led to the program, the last one's too.
        best: directory of the best program so far; None, or `folder` itself, where that is the program.
    """
    write_stage_reports(folder / REPORTS, reports)
    if best is not None and best != folder:
        copy_program(best, folder / BEST)


def copy_program(source: Path, target: Path) -> None:
    """Copy a program directory without what lies beside the program; an existing target is replaced."""
    shutil.rmtree(target, ignore_errors=True)
    beside = {str(source): {BEST, REPORTS}}
    shutil.copytree(source, target, ignore=lambda folder, names: beside.get(folder, set()) & set(names))
