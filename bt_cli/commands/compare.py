"""`bt compare`: two programs on the same test rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from bt_cli.options import common as options
from bt_cli.run_folder import Folder
from bt_cli.view.console import print_json, print_sentence, stdout
from bt_core.errors import ConfigError, DataError
from bt_core.formats.document import Part
from bt_core.formats.rows import RowScore, read_scores
from bt_core.formats.run_result import Difference
from bt_core.program import is_same_program
from bt_core.wording import pair_verdict

_WHAT = "the folder of a run or a sweep, or a results file (JSONL), such as a sweep's scores/p-seed0.jsonl."


class Comparison(Part):
    """What `--json` prints: mean scores of both programs, and what their comparison row by row shows."""

    rows: int
    a: float
    b: float
    difference: Difference


def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help=f"The run to compare with: {_WHAT}")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="The run that may be better, named in the same way.")],
    as_json: options.Json = False,
) -> None:
    """Compare the programs of two runs: is one better?

    Compares row by row on the test rows that both were scored on, with an interval and an exact test. Both cover test
    rows, not seeds.

    Example: bt compare runs/one runs/two
    """
    files = _results(run_a), _results(run_b)
    first, second = map(read_scores, files)
    if first.keys() != second.keys():
        shared = len(first.keys() & second.keys())
        raise DataError(
            f"{run_a} and {run_b} were not scored on the same test rows ({shared} of {len(first)} and {len(second)} "
            "are shared): run both with the same data and the same `data_seed`."
        )
    comparison = _compared(first, second, _groups(first, second, (run_a, run_b)), _is_same(run_a, run_b, files))
    if as_json:
        print_json(comparison.content())
        return
    rows, scores = (comparison.rows, "shared test row"), (comparison.a, comparison.b)
    print_sentence(stdout(), Text(pair_verdict(rows, (str(run_a), str(run_b)), scores, comparison.difference)))


def _results(run: Path) -> Path:
    """The file with the results of a run."""
    file = Folder(run).results if run.is_dir() else run
    if not file.is_file():
        what = f"holds no results ({file.name})" if run.is_dir() else "does not exist"
        raise ConfigError(f"{run} {what}: name the folder of a finished run, or a results file.")
    return file


def _groups(
    first: Mapping[str, RowScore], second: Mapping[str, RowScore], runs: tuple[Path, Path]
) -> dict[str, str | None]:
    """The group of each example; one of the two runs may have been made before its task named groups."""
    groups: dict[str, str | None] = {}
    for example, (_, group) in first.items():
        named = {name for name in (group, second[example].group) if name is not None}
        if len(named) > 1:
            raise DataError(
                f"{runs[0]} and {runs[1]} put the test row {example} into different groups"
                f" ({' and '.join(sorted(named))}): run both with the same `group`."
            )
        groups[example] = named.pop() if named else None
    return groups


def _is_same(run_a: Path, run_b: Path, results: tuple[Path, Path]) -> bool:
    """Whether the two hold the same results, or the same program; a results file does not say which one it is of."""
    if results[0].samefile(results[1]):
        return True
    programs = Folder(run_a).program, Folder(run_b).program
    return all(program.is_dir() for program in programs) and is_same_program(*programs)


def _compared(
    first: Mapping[str, RowScore], second: Mapping[str, RowScore], groups: Mapping[str, str | None], is_same: bool
) -> Comparison:
    from bt_core.statistics import paired_difference

    scores = [first[example].score for example in groups], [second[example].score for example in groups]
    found = paired_difference(*scores, list(groups.values()), is_same=is_same)
    a, b = (sum(values) / len(values) for values in scores)
    return Comparison(rows=found.rows, a=a, b=b, difference=Difference.of(found))
