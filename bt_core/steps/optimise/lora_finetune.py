"""`w`: LoRA fine-tuning of the program's LM on the program's own successful traces.

Paper: Soylu, Potts, Khattab 2024 (arXiv 2407.10930), Algorithm 1 and section 3: traces whose metric reaches the
threshold, all modules' calls pooled into one data set, the optimised prompt replaced by the vanilla one.
"""

import math
import random
import shutil
from collections.abc import Callable, KeysView, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from bt_core.config import Config
from bt_core.engine.base import Engine, TrainingRow
from bt_core.engine.cache_keys import base_identity, training_key
from bt_core.engine.response_cache import cache_folder
from bt_core.engine.training.adapter_cache import AdapterCache
from bt_core.engine.training.job import Curve, RemoteTraining, TrainingJob
from bt_core.lm.binding import vanilla_states
from bt_core.lm.rendering import training_rows
from bt_core.models import BaseModel, resolve_model
from bt_core.program import AdapterRef, PredictorState, Program, adapter_sha256, write_program
from bt_core.records import Row, StageReport, Trace, read_jsonl, read_traces
from bt_core.steps.common import Stage, failures, mean_score
from bt_core.steps.optimise.headroom import Headroom, measure

ADAPTER = "adapter"


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

    The program leaves as it came where fewer than `w.min_traces` traces pass, or sampling shows less to gain than
    `w.min_headroom`; the report says why, and what the step would have cost. `w.force` trains all the same.
    With `remote`, training runs elsewhere; scoring stays here.

    Raises:
        BtError: when an input is not usable, or training or the engine failed.
    """
    work = Stage.open(stage, "w", program, config, engine)
    train_rows, val_rows = read_jsonl(train), read_jsonl(val)
    found = read_traces(traces)
    # At a threshold of 0 a run whose every call failed passes too, and there is nothing to learn from it.
    passing = [trace for trace in found if trace.calls and trace.score >= config.bootstrap.threshold]
    before = work.val_before(val_rows)
    headroom = measure(work, train_rows, found) if config.w.headroom_samples else None
    reason = _refusal(config, passing, headroom)
    if reason:
        return _unchanged(work, before, passing, headroom, reason, optimised)
    work.close_engine()
    prompts = _prompts(work, config)
    scratch = optimised.with_name(optimised.name + ".training")
    curves = _train(work, prompts, passing, scratch, remote)
    folders = {relative: scratch / relative for relative in curves}
    states = {name: _adapted(state, name, curves.keys(), scratch) for name, state in prompts.items()}
    tuned, after, warnings = _validated(work, replace(work.program, predictors=states), scratch, train_rows, val_rows)
    write_program(work.grown(tuned, config.w.model_dump(mode="json"), before, after), optimised, folders)
    shutil.rmtree(scratch)
    return work.report(
        params=config.w.model_dump(mode="json"),
        metrics={"val/score": after, "val/score_before": before, "traces/kept": float(len(passing))}
        | (headroom.metrics if headroom else {})
        | _costs(curves),
        series=_series(curves),
        warnings=warnings,
        note=f"Trained on {len(passing)} traces; validation {before:.3f} before, {after:.3f} after."
        + (f" {headroom}." if headroom else ""),
    )


def _refusal(config: Config, passing: Sequence[Trace], headroom: Headroom | None) -> str:
    """Why not to train; empty: nothing speaks against it."""
    if len(passing) < config.w.min_traces and not (config.w.force and passing):
        return (
            f"{len(passing)} traces reach the threshold {config.bootstrap.threshold:g},"
            f" fewer than w.min_traces = {config.w.min_traces}"
        )
    if headroom and headroom.gain < config.w.min_headroom and not config.w.force:
        return f"{headroom}, less than w.min_headroom = {config.w.min_headroom:g}"
    return ""


def _unchanged(
    work: Stage, before: float, passing: Sequence[Trace], headroom: Headroom | None, reason: str, optimised: Path
) -> StageReport:
    settings = work.config.w.model_dump(mode="json")
    rows = sum(len(trace.calls) for trace in passing)
    steps = math.ceil(rows / work.config.w.batch_size) * work.config.w.epochs
    outcome = f"skipped: {reason}; the program is unchanged"
    saved = f"It would have trained on {rows} calls of {len(passing)} traces, {steps} optimiser steps."
    write_program(work.grown(work.program, settings, before, before, outcome), optimised, work.adapter_folders())
    return work.report(
        params=settings,
        metrics={"val/score": before, "val/score_before": before, "traces/kept": float(len(passing)), "w/skipped": 1.0}
        | (headroom.metrics if headroom else {}),
        warnings=(f"{work.name} {outcome}. {saved}",),
        note=f"{outcome}. {saved}",
    )


def _prompts(work: Stage, config: Config) -> dict[str, PredictorState]:
    """The prompts to train under, and to ship: the task's own, or those the program came with."""
    if config.w.sft_prompt == "vanilla":
        return vanilla_states(work.task)
    return {name: replace(state, adapter=None, label_prior=None) for name, state in work.program.predictors.items()}


def _train(
    work: Stage,
    prompts: Mapping[str, PredictorState],
    passing: Sequence[Trace],
    scratch: Path,
    remote: RemoteTraining | None,
) -> dict[str, Curve]:
    """Train one adapter, or one per predictor that has rows; returns their curves by relative path."""
    config = work.config
    learn, held = _held_out(passing, config)
    base = cache(partial(resolve_model, work.program.model, work.program.model_revision))
    learn_rows, held_rows = training_rows(work.task, prompts, learn), training_rows(work.task, prompts, held)
    per_predictor = config.w.adapters == "per_predictor"
    curves = {}
    for relative in dict.fromkeys(_path(name, per_predictor) for name, _ in learn_rows):
        own: list[list[TrainingRow]] = [
            [row for name, row in rows if _path(name, per_predictor) == relative] for rows in (learn_rows, held_rows)
        ]
        label = f"{work.name} {relative}"
        curves[relative] = _adapter(work, base, own[0], own[1], scratch / relative, label, remote)
    return curves


def _adapter(
    work: Stage,
    base: Callable[[], BaseModel],
    rows: Sequence[TrainingRow],
    held_out: Sequence[TrainingRow],
    folder: Path,
    label: str,
    remote: RemoteTraining | None,
) -> Curve:
    """Put an adapter's files into the folder: those that the same training made before, or trained now."""
    config, program = work.config, work.program
    identity = base_identity(program.model, program.model_revision, config.engine)
    key = training_key(identity, rows, held_out, config.w, config.seed)
    cache = cache_folder()
    adapters, checkpoints = AdapterCache(cache), cache / "checkpoints" / key if cache else None
    curve = adapters.restore(key, folder)
    if curve is not None:
        return curve
    job = TrainingJob(base(), tuple(rows), tuple(held_out), config.w, config.engine, config.seed, label)
    if remote:
        curve = remote(job, folder, key)
    else:
        from bt_core.engine.training.train import train_adapter  # loads torch

        work.make_room()
        curve = train_adapter(job, folder, checkpoints)
    adapters.keep(key, folder, curve)
    return curve


def _path(predictor: str, per_predictor: bool) -> str:
    return f"{ADAPTER}/{predictor}" if per_predictor else ADAPTER


def _held_out(passing: Sequence[Trace], config: Config) -> tuple[list[Trace], list[Trace]]:
    """Split by example, so that no example's calls stand on both sides."""
    shuffled = list(passing)
    random.Random(f"{config.seed}:w").shuffle(shuffled)
    count = int(len(shuffled) * config.w.holdout)
    return shuffled[count:], shuffled[:count]


def _adapted(state: PredictorState, name: str, trained: KeysView[str], scratch: Path) -> PredictorState:
    relative = next((path for path in (f"{ADAPTER}/{name}", ADAPTER) if path in trained), None)
    adapter = AdapterRef(relative, adapter_sha256(scratch / relative)) if relative else None
    return replace(state, adapter=adapter, label_prior=None)


def _validated(
    work: Stage, tuned: Program, scratch: Path, train: Sequence[Row], val: Sequence[Row]
) -> tuple[Program, float, tuple[str, ...]]:
    """Calibrate and score the tuned program from the very files that will be shipped."""
    shipped = replace(work, folder=scratch)
    (tuned,) = shipped.runner.calibrate([tuned], train, f"{work.name} calibrate")
    traces = shipped.runner.run(tuned, val, f"{work.name} val after")
    shipped.close_engine()
    work.spent = shipped.spent
    return tuned, mean_score(traces), failures(traces)


def _series(curves: Mapping[str, Curve]) -> dict[str, list[tuple[int, float]]]:
    series = {}
    for relative, curve in curves.items():
        suffix = relative.removeprefix(ADAPTER)
        series[f"train/loss{suffix}"] = curve.loss
        series[f"train/val_loss{suffix}"] = curve.val_loss
    return {name: points for name, points in series.items() if points}


def _costs(curves: Mapping[str, Curve]) -> dict[str, float]:
    """What training cost: for adapters from the cache (`train/cached` 1: all of them), what it cost then."""
    return {
        "train/tokens": float(sum(curve.tokens for curve in curves.values())),
        "train/seconds": sum(curve.seconds for curve in curves.values()),
        "train/best_epoch": float(max(curve.best_epoch for curve in curves.values())),
        "train/cached": float(all(curve.cached for curve in curves.values())),
    }
