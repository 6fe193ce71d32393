"""Plain records that travel between steps, and the JSON and JSONL files that hold them.

Nothing here knows DSPy, torch, Kubeflow or MLflow: these types are the language the other modules share.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from bt_core.errors import DataError

Row = dict[str, Any]
"""One example: column name -> JSON value."""

#: Types of what a trace and its calls hold, in files made elsewhere too.
_TRACE = {"example": str, "score": int | float, "prediction": dict, "error": str | None, "attempt": int}
_CALL = {"predictor": str, "inputs": dict, "outputs": dict, "label_logprobs": dict | None}

#: Beginnings of the series that hold a training's losses.
LOSSES = ("train/loss", "train/val_loss")
#: Points of a loss curve in a compact report, which travels as a parameter.
CURVE_POINTS = 32


@dataclass(frozen=True)
class Usage:
    """What was asked of an engine, and what that cost.

    `calls`, `prompt_tokens` and `completion_tokens` count every request that was answered, `cached_calls` those of
    them whose answer was in the response cache. `computed_prompt_tokens` and `seconds` (wall time) are the model's
    own work: less where prompts share a prefix, nothing for a cached call.
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
    """One call of one predictor inside a program run."""

    predictor: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    #: Log-probability of each closed answer (nats, normalised over the answers); None for a free answer.
    label_logprobs: dict[str, float] | None = None


@dataclass(frozen=True)
class Trace:
    """One run of a program on one example: its calls, its score in [0, 1], and why it failed if it did."""

    example: str
    score: float
    calls: tuple[Call, ...] = ()
    prediction: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    attempt: int = 0
    #: The base model that made it; empty: not recorded.
    model: str = ""


@dataclass(frozen=True)
class StageReport:
    """What a step tells its caller besides the files it wrote.

    `metrics` are single numbers (`val/score`), `series` are (step, value) points (`train/loss`), `note` is
    Markdown for a person, `warnings` are sentences, `scores` are the test rows' scores in [0, 1] where the step
    measured them. `started` and `ended` are Unix seconds.
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
    """JSON that is the same text for the same value: sorted keys, fixed separators, no NaN."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def sha256_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def row_id(row: Row) -> str:
    """A short name for an example, from its content alone."""
    return sha256_text(canonical_json(row))[:16]


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    lines = [json.dumps(dict(row), sort_keys=True, ensure_ascii=False, allow_nan=False) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def read_jsonl(path: Path) -> list[Row]:
    """Read objects, one a line; blank lines are passed over.

    Raises:
        DataError: when the file is missing, or a line is broken JSON or no object; names the line.
    """
    if not path.is_file():
        raise DataError(f"The data file {path} does not exist: check the path.")
    rows: list[Row] = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # not splitlines: JSON may hold U+2028
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}, line {number}: broken JSON ({error.msg} at column {error.colno}); mend the line."
            ) from None
        if not isinstance(row, dict):
            raise DataError(
                f"{path}, line {number}: expected a JSON object, found {type(row).__name__}; mend the line."
            )
        rows.append(row)
    return rows


def write_traces(path: Path, traces: Sequence[Trace]) -> None:
    write_jsonl(path, (asdict(trace) for trace in traces))


def read_traces(path: Path) -> list[Trace]:
    """Read traces, ours or ones made elsewhere.

    Raises:
        DataError: when a line is no trace; names the line.
    """
    traces = []
    for number, row in enumerate(read_jsonl(path), start=1):
        try:
            calls = tuple(Call(**_checked(call, _CALL)) for call in row.pop("calls", ()))
            traces.append(Trace(calls=calls, **_checked(row, _TRACE)))
        except TypeError as error:
            raise DataError(f"{path}, row {number}: not a trace ({error}); see docs/formats.md.") from None
    return traces


def _checked(values: dict[str, Any], kinds: Mapping[str, Any]) -> dict[str, Any]:
    for name, kind in kinds.items():
        if name in values and not isinstance(values[name], kind):
            raise TypeError(f"`{name}` is {str(values[name])[:40]!r}")
    return values


def dump_report(report: StageReport, compact: bool = False) -> str:
    """A report as one line of JSON.

    `compact` leaves out what only tracking needs (the note, and all series but the losses of a training), thins those
    losses to `CURVE_POINTS` points, and gives them and `scores` four digits.
    """
    value = asdict(report)
    if compact:
        losses = {name: points for name, points in report.series.items() if name.startswith(LOSSES)}
        value |= {"series": {name: _thinned(points) for name, points in losses.items()}, "note": ""}
        value["scores"] = list(map(_short, report.scores))
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


def load_report(text: str) -> StageReport:
    """The inverse of `dump_report`."""
    value = json.loads(text)
    series = {name: [(int(step), float(point)) for step, point in points] for name, points in value["series"].items()}
    tuples = {name: tuple(value[name]) for name in ("warnings", "scores")}
    return StageReport(**value | {"usage": Usage(**value["usage"]), "series": series} | tuples)


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most `CURVE_POINTS` points, evenly spaced, the first and the last among them."""
    last, most = len(points) - 1, CURVE_POINTS - 1
    kept = points if last <= most else [points[round(index * last / most)] for index in range(CURVE_POINTS)]
    return [(step, _short(value)) for step, value in kept]


def _short(value: float) -> float:
    return float(f"{value:.4g}")
