"""`bt compare`: two programs on the same test rows."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from bt_cli.options import common as options
from bt_cli.run_folder import Folder
from bt_cli.view.console import print_json, print_sentence, stdout
from bt_core.errors import ConfigError, DataError
from bt_core.formats.document import Part
from bt_core.formats.rows import read_scores
from bt_core.formats.run_result import Difference
from bt_core.wording import Claim, counted, on_test_rows, p_phrase

#: With a p value up to this, two programs are said to differ.
LEVEL = 0.05

_WHAT = "the folder of a run or a sweep, or a results file (JSONL), such as a sweep's scores/p-seed0.jsonl."
_METHODS = {"mcnemar": "McNemar's test", "sign flip": "test by random signs"}


class Comparison(Part):
    """What `--json` prints: mean scores of both programs, and tests of their difference row by row."""

    rows: int
    a: float
    b: float
    difference: Difference
    #: Rows on which the second program scored higher, and lower.
    better: int
    worse: int
    p_value: float
    method: str


def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help=f"The run to compare with: {_WHAT}")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="The run that may be better, named in the same way.")],
    as_json: options.Json = False,
) -> None:
    """Compare the programs of two runs: is one better?

    Compares row by row on the test rows that both were scored on, with an interval and an exact test.

    Example: bt compare runs/one runs/two
    """
    first, second = _scores(run_a), _scores(run_b)
    if first.keys() != second.keys():
        shared = len(first.keys() & second.keys())
        raise DataError(
            f"{run_a} and {run_b} were not scored on the same test rows ({shared} of {len(first)} and {len(second)} "
            "are shared): run both with the same data and the same `data_seed`."
        )
    comparison = _compared([first[example] for example in first], [second[example] for example in first])
    if as_json:
        print_json(comparison.content())
    else:
        print_sentence(stdout(), Text(_sentence(comparison, run_a, run_b)))


def _scores(run: Path) -> dict[str, float]:
    """The score of each example."""
    file = Folder(run).results if run.is_dir() else run
    if not file.is_file():
        what = f"holds no results ({file.name})" if run.is_dir() else "does not exist"
        raise ConfigError(f"{run} {what}: name the folder of a finished run, or a results file.")
    return read_scores(file)


def _compared(first: list[float], second: list[float]) -> Comparison:
    from bt_core.statistics import Arm, paired_difference
    from bt_core.statistics.exact import each_seed

    difference = paired_difference(first, second, seed=0)
    (test,) = each_seed(Arm("b", False, {0: second}), Arm("a", False, {0: first}), seed=0)
    return Comparison(
        rows=len(first),
        a=sum(first) / len(first),
        b=sum(second) / len(second),
        difference=Difference(mean=difference.mean, ci95=(difference.low, difference.high)),
        better=test.better,
        worse=test.worse,
        p_value=test.p_value,
        method=test.method,
    )


def _sentence(comparison: Comparison, run_a: Path, run_b: Path) -> str:
    claim = "differs from" if comparison.p_value <= LEVEL else f"is {Claim.OPEN}"
    sentence = on_test_rows(
        counted(comparison.rows, "shared test row"),
        f"{run_b} {claim} {run_a}",
        (comparison.a, comparison.b),
        comparison.difference,
        f"{counted(comparison.better, 'row')} better",
        f"{comparison.worse:,} worse",
        f"{p_phrase(comparison.p_value)} ({_METHODS[comparison.method]})",
    )
    return f"{sentence} Other seeds of the same strategies may differ."
