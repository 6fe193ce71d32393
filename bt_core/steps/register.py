"""Register: sum up a whole run, as `result.json` and as a note."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bt_core.config import Config, step_kinds
from bt_core.formats.run_result import Difference, Evaluation, ProgramTokens, RunResult, Step
from bt_core.program import Program, program_sha256, read_program
from bt_core.records import StageReport, Usage
from bt_core.steps.handover import UNCHANGED
from bt_core.steps.trace_summary import baselines_of
from bt_core.strategy import format_strategy
from bt_core.wording import run_verdict


def summarise(
    program: Path,
    reports: Sequence[StageReport],
    run_ids: Mapping[str, str],
    config: Config,
    result: Path,
) -> StageReport:
    """Write `result.json`: strategy, steps, test scores, the shipped program and where all of it is tracked.

    Args:
        program: the program directory that is shipped.
        reports: the reports of every stage before this one.
        run_ids: MLflow run id of each stage; empty when tracking is off.
        config: the run's merged configuration.
        result: the JSON file to write.

    Raises:
        ProgramError: when the program directory is damaged.
    """
    started = time.time()
    shipped = read_program(program)
    summary = RunResult(
        strategy=format_strategy(tuple(report.kind for report in reports if report.kind in step_kinds())),
        task=config.task,
        seed=config.seed,
        steps=tuple(_step(report, reports) for report in reports if report.kind in step_kinds()),
        test=next((_evaluation(report) for report in reports if report.kind == "evaluate"), None),
        baselines=next(filter(None, map(baselines_of, reports)), None),
        program=str(program),
        demos={name: len(state.demos) for name, state in shipped.predictors.items()},
        program_sha256=program_sha256(program),
        shipped=_made_by(shipped),
        seconds=_seconds(reports),
        warnings=tuple(warning for report in reports for warning in report.warnings),
        mlflow=dict(run_ids),
        config=config.model_dump(mode="json"),
    )
    summary.write(result)
    metrics = {"test/difference": summary.test.difference.mean} if summary.test else {}
    return StageReport("register", "register", metrics=metrics, note=_note(summary), started=started, ended=time.time())


def _made_by(program: Program) -> str:
    """Label of the stage that made the program."""
    return program.lineage[-1].stage if program.lineage else "vanilla"


def _seconds(reports: Sequence[StageReport]) -> float:
    return round(sum(report.ended - report.started for report in reports), 3)


def _step(report: StageReport, reports: Sequence[StageReport]) -> Step:
    """One optimisation step: its own stage and the bootstrap before it (`2.w` and `2.bootstrap`)."""
    position = report.stage.split(".")[0]
    own = [other for other in reports if other.stage in (report.stage, f"{position}.bootstrap")]
    traces = next((other.metrics for other in own if other.kind == "bootstrap"), {})
    usage = sum((other.usage for other in own), Usage())
    return Step(
        stage=report.stage,
        kind=report.kind,
        validation=report.metrics["val/score"],
        validation_before=report.metrics["val/score_before"],
        seconds=_seconds(own),
        lm_calls=usage.calls,
        cached_calls=usage.cached_calls,
        prompt_tokens=usage.prompt_tokens,
        computed_prompt_tokens=usage.computed_prompt_tokens,
        completion_tokens=usage.completion_tokens,
        train_tokens=int(report.metrics.get("train/tokens", 0)),
        train_cached=bool(report.metrics.get("train/cached", 0)),
        traces_kept=int(traces.get("traces/kept", 0)),
        traces_total=int(traces.get("traces/total", 0)),
        warnings=report.warnings,
        changed=UNCHANGED not in report.params,
    )


def _evaluation(report: StageReport) -> Evaluation:
    metrics = report.metrics
    tokens = {name: metrics[f"cost/prompt_tokens_per_example_{name}"] for name in ("vanilla", "final")}
    return Evaluation(
        vanilla=metrics["test/vanilla"],
        final=metrics["test/final"],
        difference=Difference(
            mean=metrics["test/difference"],
            ci95=(metrics["test/difference_low"], metrics["test/difference_high"]),
            p_value=metrics["test/p_value"],
            method=report.params["exact_test"],
            better=int(metrics["test/better"]),
            worse=int(metrics["test/worse"]),
            groups=int(metrics["test/groups"]),
            is_same=bool(metrics["test/is_same"]),
        ),
        rows=int(metrics["test/rows"]),
        prompt_tokens_per_example=ProgramTokens(**tokens),
    )


def _note(result: RunResult) -> str:
    """Markdown: the verdict first, then the steps."""
    lines = []
    if result.test:
        test = result.test
        verdict = run_verdict(test.rows, test.vanilla, test.final, test.difference)
        lines = [f"**{verdict}** Shipped: {result.shipped}.", ""]
    lines += [
        "| step | validation before | validation | traces kept | LM calls | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for step in result.steps:
        lines.append(
            f"| {step.stage} | {step.validation_before:.3f} | {step.validation:.3f} |"
            f" {step.traces_kept} of {step.traces_total} | {step.lm_calls} | {step.seconds:.0f} |"
        )
    lines += ["", *(f"- {warning}" for warning in result.warnings)]
    return "\n".join(lines).rstrip()
