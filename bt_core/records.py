"""Plain records that stages exchange, and the JSON and JSONL files that hold them.

Nothing here depends on DSPy, torch, Kubeflow or MLflow, so that all other modules can use these types.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from bt_core.errors import DataError
from bt_core.json_text import BrokenJson, parse_json

Row = dict[str, Any]
"""One example: column name -> JSON value."""

#: How the names of the series with a training's losses begin.
LOSSES = ("train/loss", "train/val_loss")
#: How many points of a loss curve a compact report has at most, since it is passed as a parameter.
CURVE_POINTS = 32


@dataclass(frozen=True)
class Usage:
    """What was asked of an engine, and what that cost.

    `calls`, `prompt_tokens` and `completion_tokens` count every request that was answered. `cached_calls` counts those
    whose answer was in the response cache. `computed_prompt_tokens` and `seconds` (wall time) are the model's own work,
    which is less where prompts share a prefix, and nothing for a cached call.
    """

    calls: int = 0
    cached_calls: int = 0
    prompt_tokens: int = 0
    computed_prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Call:
    """One call of a predictor in a run of a program."""

    predictor: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    #: Log-probability of each closed answer, in nats, normalised over the answers; None: the answer was free.
    label_logprobs: dict[str, float] | None = None


@dataclass(frozen=True)
class Trace:
    """One run of a program on one example: its calls, its score in [0, 1], and the error if it failed."""

    example: str
    score: float
    calls: tuple[Call, ...] = ()
    prediction: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    attempt: int = 0
    #: The base model that ran the program; empty: not recorded.
    model: str = ""
    #: What the metric said in words: predictor -> text; "": on the whole program's result.
    feedback: dict[str, str] = field(default_factory=dict)

    @property
    def feedback_text(self) -> str:
        """All that the metric said, a paragraph for the result and one for each predictor; empty: nothing."""
        return "\n".join(f"{name}: {text}" if name else text for name, text in self.feedback.items())


@dataclass(frozen=True)
class StageReport:
    """What a stage reports besides the files that it wrote.

    Attributes:
        stage: label of the task in the DAG.
        kind: which kind of stage it is.
        params: the settings that it ran with, and facts about its inputs.
        metrics: single numbers, such as `val/score`.
        series: (position, value) points, such as `train/loss`.
        note: Markdown for a person.
        warnings: sentences.
        usage: what it asked of engines.
        started, ended: Unix seconds.
        scores: the scores of the test rows in [0, 1], where the stage measured them.
    """

    stage: str
    kind: str
    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    series: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    note: str = ""
    warnings: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
    started: float = 0.0
    ended: float = 0.0
    scores: tuple[float, ...] = ()


def canonical_json(value: Any) -> str:
    """The same JSON text for the same value: keys are sorted, separators fixed, and NaN is not allowed."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def sha256_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def row_id(row: Row) -> str:
    """A short name for an example, which depends only on its content."""
    return sha256_text(canonical_json(row))[:16]


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    lines = [json.dumps(dict(row), sort_keys=True, ensure_ascii=False, allow_nan=False) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def read_jsonl(path: Path) -> list[Row]:
    """Read a JSONL file, which holds one object a line; blank lines are skipped.

    Raises:
        DataError: when the file is missing or not UTF-8, or a line is no JSON object; names the line.
    """
    return rows_of_lines(path, read_lines(path))


def rows_of_lines(path: Path, lines: Iterable[tuple[int, str]]) -> list[Row]:
    """The objects on numbered lines of JSON.

    Raises:
        DataError: when a line is no JSON object; names the line of the file.
    """
    rows: list[Row] = []
    for number, line in lines:
        try:
            row = parse_json(line)
        except BrokenJson as error:
            where = f" at column {error.column}" if error.column else ""
            raise DataError(f"{path}, line {number}: broken JSON ({error.reason}{where}); correct the line.") from None
        if not isinstance(row, dict):
            raise DataError(
                f"{path}, line {number}: expected a JSON object, found {type(row).__name__}; correct the line."
            )
        rows.append(row)
    return rows


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a JSONL file, each with its number; blank lines are left out.

    Raises:
        DataError: when the file is missing, cannot be read, or is not UTF-8.
    """
    if not path.is_file():
        raise DataError(f"The data file {path} does not exist: check the path.")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # not splitlines: JSON may hold U+2028
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check its rights, or give another file.") from None
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def write_traces(path: Path, traces: Sequence[Trace]) -> None:
    write_jsonl(path, (asdict(trace) for trace in traces))


def dump_report(report: StageReport, compact: bool = False) -> str:
    """Write a report as one line of JSON.

    Args:
        report: the report.
        compact: leave out what only tracking needs (the note, and all series but the losses of a training), thin the
            losses to `CURVE_POINTS` points, and round losses and scores to four significant digits.
    """
    value = asdict(report)
    if compact:
        losses = {name: points for name, points in report.series.items() if name.startswith(LOSSES)}
        value |= {"series": {name: _thinned(points) for name, points in losses.items()}, "note": ""}
        value["scores"] = list(map(_short, report.scores))
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most `CURVE_POINTS` points, evenly spaced, the first and the last among them."""
    last, most = len(points) - 1, CURVE_POINTS - 1
    kept = points if last <= most else [points[round(index * last / most)] for index in range(CURVE_POINTS)]
    return [(step, _short(value)) for step, value in kept]


def _short(value: float) -> float:
    return float(f"{value:.4g}")
