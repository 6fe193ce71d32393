"""The table at the end of a run, made of what result.json holds, and the commands that come next."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bt_cli.run_folder import RUNS, RunFolder
from bt_cli.view.console import print_sentence
from bt_core.records import read_jsonl
from bt_core.task import load_task
from bt_tracking.settings import redact


def print_summary(console: Console, result: Mapping[str, Any], folder: RunFolder, tracking_uri: str | None) -> None:
    """Print what the run came to.

    Args:
        console: where to.
        result: the content of result.json.
        folder: the run's folder.
        tracking_uri: the server that the user named, if any.
    """
    console.print()
    console.print(_steps(result))
    print_sentence(console, _verdict(result["test"]))
    shipped = result["shipped"]
    made_by = "no step: the vanilla program is the best" if shipped == "vanilla" else f"stage {shipped}"
    facts = {"program": f"{short(folder.program)} (from {made_by})", "result": short(folder.result)}
    if tracking_uri:
        facts["tracking"] = redact(tracking_uri)
    print_facts(console, facts)
    console.print(Text("\nNext:", style="bold"))
    for command in _next_commands(result, folder, tracking_uri):
        console.print(Text(f"  {shlex.join(command)}"))


def _steps(result: Mapping[str, Any]) -> Table:
    title = f"{result['task']}: {result['strategy']} (seed {result['seed']})"
    table = Table(title=title, title_justify="left")
    table.add_column("step", no_wrap=True)
    cached = any(step["cached_calls"] for step in result["steps"])
    calls = "LM calls\n(cached)" if cached else "LM\ncalls"
    for heading in ("validation", "traces\nkept", calls, "prompt\ntokens", "completion\ntokens", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for step in result["steps"]:
        table.add_row(
            step["stage"],
            f"{step['validation_before']:.3f} -> {step['validation']:.3f}",
            f"{step['traces_kept']}/{step['traces_total']}",
            f"{step['lm_calls']:,}" + (f"\n({step['cached_calls']:,})" if cached else ""),
            f"{step['prompt_tokens']:,}",
            f"{step['completion_tokens']:,}",
            f"{step['seconds']:.1f}",
        )
    return table


def _verdict(test: Mapping[str, Any]) -> Text:
    """The answer to "was it worth it?", in a sentence that claims no more than the interval does."""
    difference, (low, high) = test["difference"]["mean"], test["difference"]["ci95"]
    verdict, style = ("better than", "green") if low > 0 else ("worse than", "red") if high < 0 else ("", "yellow")
    return Text.assemble(
        f"On {test['rows']} sealed test rows the final program is ",
        (verdict or "not shown to differ from", f"bold {style}"),
        f" the vanilla one: {test['vanilla']:.3f} -> {test['final']:.3f},",
        f" difference {difference:+.3f} (95% interval {low:+.3f} to {high:+.3f}).",
    )


def _next_commands(result: Mapping[str, Any], folder: RunFolder, tracking_uri: str | None) -> Sequence[Sequence[str]]:
    program, runs = short(folder.program), short(folder.path.parent)
    example = next(iter(read_jsonl(folder.results)))["row"]
    settings = result.get("config", {}).get("task_settings", {})
    inputs = [f"{name}={example[name]}" for name in load_task(result["task"], settings).inputs]
    serve = ["bt", "mlflow"] + ([] if Path(runs) == RUNS else [runs])
    return [["bt", "show", program], ["bt", "predict", program, *inputs], *([] if tracking_uri else [serve])]


def print_facts(console: Console, facts: Mapping[str, str]) -> None:
    """A line for each fact, its name in front."""
    for name, fact in facts.items():
        console.print(Text.assemble((f"{name:<9}", "bold"), fact))


def short(path: Path) -> str:
    """The path as seen from the current folder, where that is shorter."""
    return min(str(path), os.path.relpath(path), key=len)
