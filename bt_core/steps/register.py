"""Register: what a whole run came to, as `result.json` and as a note for a person."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bt_core.config import Config, step_kinds
from bt_core.program import Program, program_sha256, read_program
from bt_core.records import StageReport, canonical_json


def summarise(
    program: Path,
    reports: Sequence[StageReport],
    run_ids: Mapping[str, str],
    config: Config,
    strategy: str,
    result: Path,
) -> StageReport:
    """Write `result.json`: strategy, steps, test scores, the shipped program and where all of it is tracked.

    Args:
        program: the program directory that is shipped.
        reports: of every stage before this one.
        run_ids: MLflow run id by stage; empty when tracking is off.
        config: the run's merged configuration.
        strategy: as written, `p -> w -> p`.
        result: JSON file to write.

    Raises:
        ProgramError: when the program directory is damaged.
    """
    started = time.time()
    shipped = read_program(program)
    steps = [_step(report, reports) for report in reports if report.kind in step_kinds()]
    test = next((_test(report) for report in reports if report.kind == "evaluate"), None)
    warnings = [warning for report in reports for warning in report.warnings]
    summary = {
        "strategy": strategy,
        "task": config.task,
        "seed": config.seed,
        "steps": steps,
        "test": test,
        "program": str(program),
        "program_sha256": program_sha256(program),
        "shipped": _origin(shipped),
        "seconds": round(sum(report.ended - report.started for report in reports), 3),
        "warnings": warnings,
        "mlflow": dict(run_ids),
        "config": config.model_dump(mode="json"),
    }
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(canonical_json(summary), encoding="utf-8")
    metrics = {"test/difference": test["difference"]["mean"]} if test else {}
    return StageReport("register", "register", metrics=metrics, note=_note(summary), started=started, ended=time.time())


def _origin(program: Program) -> str:
    """Label of the stage that made the program."""
    return program.lineage[-1].stage if program.lineage else "vanilla"


def _step(report: StageReport, reports: Sequence[StageReport]) -> dict[str, Any]:
    """One optimisation step: its own stage and the bootstrap before it (`2.w` and `2.bootstrap`)."""
    position = report.stage.split(".")[0]
    own = [other for other in reports if other.stage in (report.stage, f"{position}.bootstrap")]
    traces = next((other.metrics for other in own if other.kind == "bootstrap"), {})
    return {
        "stage": report.stage,
        "kind": report.kind,
        "validation": report.metrics["val/score"],
        "validation_before": report.metrics["val/score_before"],
        "seconds": round(sum(other.ended - other.started for other in own), 3),
        "lm_calls": sum(other.usage.calls for other in own),
        "cached_calls": sum(other.usage.cached_calls for other in own),
        "prompt_tokens": sum(other.usage.prompt_tokens for other in own),
        "computed_prompt_tokens": sum(other.usage.computed_prompt_tokens for other in own),
        "completion_tokens": sum(other.usage.completion_tokens for other in own),
        "train_tokens": int(report.metrics.get("train/tokens", 0)),
        "train_cached": bool(report.metrics.get("train/cached", 0)),
        "traces_kept": int(traces.get("traces/kept", 0)),
        "traces_total": int(traces.get("traces/total", 0)),
        "warnings": list(report.warnings),
    }


def _test(report: StageReport) -> dict[str, Any]:
    metrics = report.metrics
    return {
        "vanilla": metrics["test/vanilla"],
        "final": metrics["test/final"],
        "difference": {
            "mean": metrics["test/difference"],
            "ci95": [metrics["test/difference_low"], metrics["test/difference_high"]],
        },
        "rows": int(metrics["test/rows"]),
        "prompt_tokens_per_example": {
            name: metrics[f"cost/prompt_tokens_per_example_{name}"] for name in ("vanilla", "final")
        },
    }


def _note(summary: Mapping[str, Any]) -> str:
    """Markdown: the verdict first, then the steps."""
    lines = []
    if summary["test"]:
        test = summary["test"]
        low, high = test["difference"]["ci95"]
        verdict = "better than" if low > 0 else "worse than" if high < 0 else "not shown to differ from"
        lines = [
            f"**On {test['rows']} sealed test rows the final program is {verdict} the vanilla one**:"
            f" {test['vanilla']:.3f} -> {test['final']:.3f}, paired difference {test['difference']['mean']:+.3f}"
            f" (95% interval {low:+.3f} to {high:+.3f}). Shipped: {summary['shipped']}.",
            "",
        ]
    lines += [
        "| step | validation before | validation | traces kept | LM calls | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for step in summary["steps"]:
        lines.append(
            f"| {step['stage']} | {step['validation_before']:.3f} | {step['validation']:.3f} |"
            f" {step['traces_kept']} of {step['traces_total']} | {step['lm_calls']} | {step['seconds']:.0f} |"
        )
    lines += ["", *(f"- {warning}" for warning in summary["warnings"])]
    return "\n".join(lines).rstrip()
