"""The table at the end of a run, made from its result.json, and the commands to run next."""

import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bt_cli.run_folder import RUNS, RunFolder
from bt_cli.view.console import print_sentence
from bt_core.bundle.made_task import naming_options
from bt_core.data import is_ambiguous
from bt_core.formats.rows import ComparedRow, read_results
from bt_core.formats.run_result import Evaluation, RunResult
from bt_core.task import is_declaration, load_task
from bt_core.trust.credentials import redact
from bt_core.wording import Claim, run_verdict

_STYLES = {Claim.BETTER: "green", Claim.WORSE: "red", Claim.OPEN: "yellow", Claim.SAME: "yellow"}


def print_summary(
    console: Console, result: RunResult, folder: RunFolder, tracking_uri: str | None, task: str = ""
) -> None:
    """Print the steps of a run, its verdict, its files and the commands to run next.

    Args:
        console: where to print.
        result: the run's result.
        folder: the run's folder.
        tracking_uri: the server that the user named, if any.
        task: the task as the user named it; empty: as in the result.
    """
    console.print()
    console.print(_steps(result))
    if result.test:
        print_sentence(console, _verdict(result.test))
    for sentence in _remarks(result):
        print_sentence(console, Text(sentence))
    made_by = "no step: the vanilla program is the best" if result.shipped == "vanilla" else f"stage {result.shipped}"
    demos = "".join(f", {count} demos in {name}" for name, count in result.demos.items() if count)
    facts = {"program": f"{short(folder.program)} (from {made_by}{demos})", "result": short(folder.result)}
    if tracking_uri:
        facts["tracking"] = redact(tracking_uri)
    print_facts(console, facts)
    console.print(Text("\nNext:", style="bold"))
    for command in _next_commands(result, folder, tracking_uri, task or result.task):
        console.print(Text(f"  {shlex.join(command)}"))


def _steps(result: RunResult) -> Table:
    table = Table(title=f"{result.task}: {result.strategy} (seed {result.seed})", title_justify="left")
    table.add_column("step", no_wrap=True)
    cached = any(step.cached_calls for step in result.steps)
    calls = "LM calls\n(cached)" if cached else "LM\ncalls"
    for heading in ("validation", "traces\nkept", calls, "prompt\ntokens", "completion\ntokens", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for step in result.steps:
        table.add_row(
            step.stage,
            f"{step.validation_before:.3f} -> {step.validation:.3f}",
            f"{step.traces_kept}/{step.traces_total}",
            f"{step.lm_calls:,}" + (f"\n({step.cached_calls:,})" if cached else ""),
            f"{step.prompt_tokens:,}",
            f"{step.completion_tokens:,}",
            f"{step.seconds:.1f}",
        )
    return table


def _verdict(test: Evaluation) -> Text:
    """The answer to "was it worth it?", with its claim in colour."""
    verdict = Text(run_verdict(test.rows, test.vanilla, test.final, test.difference))
    claim = Claim.of(test.difference)
    verdict.highlight_words([claim], f"bold {_STYLES[claim]}")
    return verdict


def _remarks(result: RunResult) -> Iterator[str]:
    """What helps to read the verdict: steps that changed nothing, and what constant answers score."""
    idle = [f"`{step.stage}`" for step in result.steps if not step.changed]
    if idle:
        yield f"{' and '.join(idle)} changed nothing."
    if result.baselines:
        yield result.baselines.sentence


def _next_commands(
    result: RunResult, folder: RunFolder, tracking_uri: str | None, task: str
) -> Sequence[Sequence[str]]:
    program, runs = short(folder.program), short(folder.path.parent)
    example = read_results(folder.results, ComparedRow)[0].row
    settings = result.config.get("task_settings", {})
    inputs = [_argument(name, example[name]) for name in load_task(result.task, settings).inputs]
    # A task's file says itself what the settings of its program say.
    named = ["--task", task] if is_declaration(result.task) else naming_options(result.task, settings)
    serve = ["bt", "mlflow"] + ([] if Path(runs) == RUNS else [runs])
    predict = ["bt", "predict", program, *named, *inputs]
    return [["bt", "show", program], predict, *([] if tracking_uri else [serve])]


def _argument(name: str, value: Any) -> str:
    """The argument with which `bt predict` gets this input: JSON for what is no text, or could be read as none."""
    is_text = isinstance(value, str) and not is_ambiguous(value)
    return f"{name}={value}" if is_text else f"{name}:={json.dumps(value, ensure_ascii=False)}"


def print_facts(console: Console, facts: Mapping[str, str]) -> None:
    """Print a line for each fact, its name in front."""
    for name, fact in facts.items():
        console.print(Text.assemble((f"{name:<9}", "bold"), fact))


def short(path: Path) -> str:
    """The path relative to the current folder where that is shorter, else the path itself; never like an option."""
    shortest = min(str(path), os.path.relpath(path), key=len)
    return f"./{shortest}" if shortest.startswith("-") else shortest
