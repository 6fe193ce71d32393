"""`bt compare`: two programs on the same test rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from bt_cli.options import common as options
from bt_cli.run_folder import Folder
from bt_cli.view.console import print_json, print_sentence, stdout
from bt_core.errors import ConfigError, DataError
from bt_core.records import Row, read_jsonl

_WHAT = "the folder of a run or a sweep, or a results file (JSONL), such as a sweep's scores/p-seed0.jsonl."


def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help=f"The one to compare with: {_WHAT}")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="The one that may be better, named likewise.")],
    as_json: options.Json = False,
) -> None:
    """Compare the programs of two runs: is one better?

    Row by row on the test rows that both were scored on, with an interval and a test against chance.

    Example: bt compare runs/one runs/two
    """
    first, second = _scores(run_a), _scores(run_b)
    if first.keys() != second.keys():
        shared = len(first.keys() & second.keys())
        raise DataError(
            f"{run_a} and {run_b} were not scored on the same test rows ({shared} of {len(first)} and {len(second)} "
            "are shared): run both with the same data and the same `data_seed`."
        )
    found = _compared([first[example] for example in first], [second[example] for example in first])
    if as_json:
        print_json(found)
    else:
        print_sentence(stdout(), Text(_sentence(found, run_a, run_b)))


def _scores(run: Path) -> dict[str, float]:
    """Score by example."""
    file = Folder(run).results if run.is_dir() else run
    if not file.is_file():
        what = f"holds no results ({file.name})" if run.is_dir() else "does not exist"
        raise ConfigError(f"{run} {what}: name the folder of a finished run, or a results file.")
    try:
        return {str(row["example"]): float(_final(row)["score"]) for row in read_jsonl(file)}
    except DataError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file} is no results file ({error!r}): name one that a run wrote.") from None


def _final(row: Row) -> Any:
    """What the final program did: a run's results have the vanilla program's beside it, a sweep's stand alone."""
    return row.get("final", row)


def _compared(first: list[float], second: list[float]) -> dict[str, Any]:
    from bt_core.statistics import Arm, paired_difference
    from bt_core.statistics.exact import each_seed

    difference = paired_difference(first, second, seed=0)
    (test,) = each_seed(Arm("b", False, {0: second}), Arm("a", False, {0: first}), seed=0)
    return {
        "rows": len(first),
        "a": sum(first) / len(first),
        "b": sum(second) / len(second),
        "difference": {"mean": difference.mean, "ci95": [difference.low, difference.high]},
        "better": test.better,
        "worse": test.worse,
        "p_value": test.p_value,
        "method": test.method,
    }


def _sentence(found: Mapping[str, Any], run_a: Path, run_b: Path) -> str:
    mean, (low, high) = found["difference"]["mean"], found["difference"]["ci95"]
    shown = "differs from" if found["p_value"] <= 0.05 else "is not shown to differ from"
    method = "McNemar's test" if found["method"] == "mcnemar" else "test by random signs"
    return (
        f"On {found['rows']} shared test rows {run_b} {shown} {run_a}: {found['a']:.3f} -> {found['b']:.3f}, "
        f"difference {mean:+.3f} (95% interval {low:+.3f} to {high:+.3f}), {found['better']} rows better, "
        f"{found['worse']} worse, p = {found['p_value']:.3f} ({method}). "
        "Other seeds of the same strategies may differ."
    )
