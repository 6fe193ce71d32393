"""`w`: LoRA fine-tuning of the program's LM on the program's own successful traces.

Paper: Soylu, Potts, Khattab 2024 (arXiv 2407.10930), Algorithm 1 and section 3: traces whose metric reaches the
threshold, all modules' calls pooled into one data set, the optimised prompt replaced by the vanilla one.
"""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bt_core.config import Config
from bt_core.engine.base import Engine
from bt_core.engine.training.job import Curve, RemoteTraining
from bt_core.formats.traces import read_traces
from bt_core.lm.states import vanilla_states
from bt_core.program import PredictorState, Program, write_program
from bt_core.records import Row, StageReport, Trace, read_jsonl, row_id
from bt_core.steps.optimise.adapter_training import ADAPTER, AdapterTraining, with_adapters
from bt_core.steps.optimise.headroom import Headroom, measure, obstacle
from bt_core.steps.session import Session
from bt_core.steps.stage import Stage
from bt_core.steps.trace_summary import failures, mean_score


def lora_finetune(
    program: Path,
    traces: Path,
    train: Path,
    val: Path,
    config: Config,
    stage: str,
    optimised: Path,
    engine: Engine | None = None,
    remote: RemoteTraining | None = None,
) -> StageReport:
    """Train adapters on the passing traces, starting from the base model, and write the program that uses them.

    The program is written unchanged where fewer than `w.min_traces` traces pass, or where sampling shows that less than
    `w.min_headroom` is to gain; the report says why, and what the step would have cost. With `w.force` the step trains
    in both cases. With `remote`, training runs elsewhere; scoring stays here.

    Raises:
        BtError: when an input is not usable, or training or the engine failed.
    """
    opened = Stage.open(stage, "w", program, config)
    session = Session(opened, engine)
    train_rows, val_rows = read_jsonl(train), read_jsonl(val)
    all_traces = read_traces(traces)
    # At a threshold of 0 a run whose every call failed passes too, and there is nothing to learn from it.
    passing = [trace for trace in all_traces if trace.calls and trace.score >= config.bootstrap.threshold]
    before = _val_before(session, val_rows)
    headroom, found = _headroom(session, train_rows, all_traces)
    reason = _reason_to_skip(config, passing, headroom)
    if reason:
        return _skipped(session, before, passing, headroom, reason, optimised)
    session.close()
    prompts = _prompts(opened)
    scratch = optimised.with_name(optimised.name + ".training")
    groups = {row_id(row): opened.task.group_of(row) for row in train_rows}
    curves = AdapterTraining(session, scratch, groups, remote).run(prompts, passing)
    tuned = replace(opened.program, predictors=with_adapters(prompts, curves, scratch))
    tuned, after, warnings = _validated(session, tuned, scratch, train_rows, val_rows)
    settings = config.w.model_dump(mode="json")
    write_program(
        opened.with_step(tuned, settings, before, after), optimised, {path: scratch / path for path in curves}
    )
    shutil.rmtree(scratch)
    return session.report(
        params=settings,
        metrics=_metrics(before, after, passing, headroom) | _costs(curves),
        series=_series(curves),
        warnings=warnings,
        note=f"Trained on {len(passing)} traces; validation {before:.3f} before, {after:.3f} after. {found}".rstrip(),
    )


def _val_before(session: Session, val: Sequence[Row]) -> float:
    """The incoming program's validation score: from its lineage, or measured where the lineage has none."""
    stage = session.stage
    if stage.val_score is not None:
        return stage.val_score
    return mean_score(session.runner.run(stage.program, val, f"{stage.name} val before"))


def _headroom(session: Session, train: Sequence[Row], traces: Sequence[Trace]) -> tuple[Headroom | None, str]:
    """What training could gain, and a sentence about it; None where it is not to be measured or cannot be."""
    if not session.stage.config.w.headroom_samples:
        return None, ""
    reason = obstacle(session.stage, traces)
    if reason:
        return None, f"Headroom was not measured: {reason}."
    headroom = measure(session, train, traces)
    return headroom, f"{headroom}."


def _reason_to_skip(config: Config, passing: Sequence[Trace], headroom: Headroom | None) -> str:
    """Why the step should not train; empty when it should."""
    if len(passing) < config.w.min_traces and not (config.w.force and passing):
        return (
            f"{len(passing)} traces reach the threshold {config.bootstrap.threshold:g},"
            f" fewer than w.min_traces = {config.w.min_traces}"
        )
    if headroom and headroom.interval[1] < config.w.min_headroom and not config.w.force:
        return f"{headroom}, so the gain is less than w.min_headroom = {config.w.min_headroom:g}"
    return ""


def _skipped(
    session: Session, before: float, passing: Sequence[Trace], headroom: Headroom | None, reason: str, optimised: Path
) -> StageReport:
    """Write the program unchanged, and report why and what training would have cost."""
    stage, settings = session.stage, session.stage.config.w
    rows = sum(len(trace.calls) for trace in passing)
    optimiser_steps = math.ceil(rows / settings.batch_size) * settings.epochs
    outcome = f"skipped: {reason}; the program is unchanged"
    saved = f"It would have trained on {rows} calls of {len(passing)} traces, {optimiser_steps} optimiser steps."
    params = settings.model_dump(mode="json")
    program = stage.with_step(stage.program, params, before, before, outcome)
    write_program(program, optimised, stage.adapter_folders())
    return session.report(
        params=params,
        metrics=_metrics(before, before, passing, headroom) | {"w/skipped": 1.0},
        warnings=(f"{stage.name} {outcome}. {saved}",),
        note=f"{outcome}. {saved}",
    )


def _prompts(stage: Stage) -> dict[str, PredictorState]:
    """The prompts to train under, and to ship: the task's own, or those of the incoming program."""
    if stage.config.w.sft_prompt == "vanilla":
        return vanilla_states(stage.task)
    return {name: replace(state, adapter=None, label_prior=None) for name, state in stage.program.predictors.items()}


def _validated(
    session: Session, tuned: Program, folder: Path, train: Sequence[Row], val: Sequence[Row]
) -> tuple[Program, float, tuple[str, ...]]:
    """Calibrate and score the tuned program with the very adapter files that will be shipped.

    Args:
        session: that of the step.
        tuned: the program with its new adapters.
        folder: where the adapters lie.
        train: inputs for label priors, where the configuration asks for them.
        val: the rows to score on.

    Returns:
        The program with its label priors, its validation score, and warnings about failed examples.
    """
    runner, name = session.runner_in(folder), session.stage.name
    (tuned,) = runner.calibrate([tuned], train, f"{name} calibrate")
    traces = runner.run(tuned, val, f"{name} val after")
    return tuned, mean_score(traces), failures(traces)


def _metrics(before: float, after: float, passing: Sequence[Trace], headroom: Headroom | None) -> dict[str, float]:
    scores = {"val/score": after, "val/score_before": before, "traces/kept": float(len(passing))}
    return scores | (headroom.metrics if headroom else {})


def _series(curves: Mapping[str, Curve]) -> dict[str, list[tuple[int, float]]]:
    series = {}
    for path, curve in curves.items():
        suffix = path.removeprefix(ADAPTER)
        series[f"train/loss{suffix}"] = curve.loss
        series[f"train/val_loss{suffix}"] = curve.val_loss
    return {name: points for name, points in series.items() if points}


def _costs(curves: Mapping[str, Curve]) -> dict[str, float]:
    """What training cost; for adapters from the cache, what it cost then (`train/cached` is 1 if all are)."""
    return {
        "train/tokens": float(sum(curve.tokens for curve in curves.values())),
        "train/seconds": sum(curve.seconds for curve in curves.values()),
        "train/best_epoch": float(max(curve.best_epoch for curve in curves.values())),
        "train/cached": float(all(curve.cached for curve in curves.values())),
    }
