"""Table 1 of the paper beside sweeps of its tasks, as figures and as Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from bt_core.errors import DataError
from bt_core.formats.arms import MeanScores
from bt_core.formats.sweep import Sweep
from bt_core.statistics import VANILLA
from bt_core.yaml_text import read_yaml

#: Differences from the paper under all settings.
ALWAYS = (
    "`p` searches on all train and val rows; the paper's on 100 and 250 of them (Iris: 15 and 35).",
    "`p` also tries the program without demos and the prompts that it began with, and drops candidates that can no"
    " longer win.",
    "`w` holds back a share of its traces (`w.holdout`) and keeps the epoch with the lowest loss on it.",
    "Splits are drawn by this project's seed, not by the paper's.",
)
#: Differences in one task.
BY_TASK: Mapping[str, Sequence[str]] = {
    "hotpotqa": (
        "The paper retrieves by ColBERTv2 over Wikipedia's abstracts of 2017.",
        "Exact match follows HotPotQA's own script; DSPy's first decomposes accented letters (Unicode NFD).",
    ),
    "gsm8k": (),
    "iris": ("49 test rows for the paper's 50: two of the 150 flowers have the same measurements.",),
}


def figures(sweeps: Mapping[str, Path]) -> dict[str, Any]:
    """The content of the table.

    Args:
        sweeps: task -> path of its sweep.json.

    Raises:
        DataError: when a file is missing or is not a sweep.json.
    """
    paper = _packaged("paper_table1.yaml")
    tasks = {task: _task(task, _read(path), paper) for task, path in sweeps.items()}
    return {
        "paper_models": list(paper["scores"]),
        "paper_gpu_hours": paper["gpu_hours"],
        "hours": sum(part["hours"] for part in tasks.values()),
        "tasks": tasks,
    }


def _read(path: Path) -> Sweep:
    if not path.is_file():
        raise DataError(
            f"{path} is no finished sweep (the file does not exist): run `bt reproduce`, or put a cluster's sweep.json"
            " there."
        )
    return Sweep.read(path)


def _packaged(name: str) -> Any:
    return read_yaml((files("bt_tasks") / "configs" / name).read_text(encoding="utf-8"))


def _task(task: str, sweep: Sweep, paper: Mapping[str, Any]) -> dict[str, Any]:
    column = paper["tasks"].index(task)
    lines: list[tuple[str, MeanScores]] = [(VANILLA, sweep.vanilla), *((arm.name, arm) for arm in sweep.arms)]
    return {
        "model": sweep.model,
        "seeds": list(sweep.seeds),
        "rows": sweep.rows.content(),
        "hours": sweep.cost.seconds / 3600.0,
        "arms": [
            {
                "name": name,
                "mean": scores.mean,
                "low": scores.low,
                "high": scores.high,
                "paper": [published.get(name, [None] * 3)[column] for published in paper["scores"].values()],
            }
            for name, scores in lines
        ],
        "differs": [*_differences(task, sweep, paper), *BY_TASK[task], *ALWAYS],
    }


def _differences(task: str, sweep: Sweep, paper: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each setting that differs from the paper's."""
    if not any(model in sweep.model.lower() for model in paper["scores"]):
        yield f"The model is {sweep.model}; the paper's are {', '.join(paper['scores'])}."
    if len(sweep.seeds) != paper["seeds"]:
        yield f"{len(sweep.seeds)} seed(s) for the paper's {paper['seeds']}."
    leaves = [(key, theirs, _at(sweep.config, key)) for key, theirs in _leaves(_packaged(f"{task}-paper.yaml"))]
    changed = [f"`{key}` {_text(ours)} (paper {_text(theirs)})" for key, theirs, ours in leaves if ours != theirs]
    if changed:
        yield f"Settings: {', '.join(changed)}."
    own = sweep.config["task_settings"]
    if task == "hotpotqa" and not own.get("retriever"):
        yield f"BM25 over {Path(own.get('corpus', '')).name or 'no corpus'}."


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _at(values: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "its default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def markdown(table: Mapping[str, Any]) -> str:
    """The tables, costs and differences from the paper as Markdown."""
    models = table["paper_models"]
    parts = ["# Table 1 of the paper, and here\n", "Test scores in percent, with 95 % intervals.\n"]
    for task, part in table["tasks"].items():
        sizes = f"{part['rows']['train']} / {part['rows']['val']} / {part['rows']['test']} rows"
        parts.append(f"## {task}\n\n{part['model']}, {sizes}, {_sample(part['seeds'])}.\n")
        head = ["strategy", "here", *(f"paper, {model}" for model in models)]
        rule = ["---", *["---:"] * (len(head) - 1)]
        parts.append("\n".join(map(_line, [head, rule, *map(_cells, part["arms"])])) + "\n")
        parts.append("What differs from the paper:\n\n" + "\n".join(f"- {text}" for text in part["differs"]) + "\n")
    hours = ", ".join(f"{task} {part['hours']:.2f}" for task, part in table["tasks"].items())
    parts.append(
        f"Hours of the tasks, one after the other: {hours}, together {table['hours']:.2f}. They are GPU-hours where"
        f" each task had one GPU. The paper's whole table took about {table['paper_gpu_hours']} hours of A100.\n"
    )
    return "\n".join(parts)


def _sample(seeds: Sequence[int]) -> str:
    """The seeds of a task, and what its intervals cover."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}; intervals over rows, not seeds: they are about these programs alone"
    return f"seeds {', '.join(map(str, seeds))}; intervals over rows and seeds"


def _cells(arm: Mapping[str, Any]) -> list[str]:
    here = f"{100 * arm['mean']:.1f} ({100 * arm['low']:.1f} to {100 * arm['high']:.1f})"
    return [arm["name"], here, *("" if score is None else f"{score:.1f}" for score in arm["paper"])]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
