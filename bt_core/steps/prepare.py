"""Prepare: check the whole configuration, split the data, and write the program that the run starts from."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bt_core.config import Config, LoraConfig, resolve_config
from bt_core.data import collected_notes, load_splits
from bt_core.engine.base import Engine
from bt_core.engine.training.targets import check_names
from bt_core.lm.columns import column_types
from bt_core.lm.probe import sentences_about
from bt_core.lm.runner import Runner
from bt_core.lm.states import vanilla_states
from bt_core.models import BaseModel, resolve_model
from bt_core.program import Program, program_sha256, write_program
from bt_core.records import Row, StageReport, Usage, canonical_json, sha256_text, write_jsonl
from bt_core.steps.engines import open_engine
from bt_core.steps.start import Start
from bt_core.steps.trace_summary import baselines
from bt_core.task import Task, load_task
from bt_core.trust.shown_text import markdown


def prepare(
    overrides: Mapping[str, Any], train: Path, val: Path, test: Path, program: Path, engine: Engine | None = None
) -> tuple[Config, StageReport]:
    """Merge the settings of the run, and write its splits and its first program.

    Args:
        overrides: the user's settings; `task` is required.
        train, val, test: JSONL files to write.
        program: directory to write the vanilla program to, or the finished program that `start` names. With
            `decoding.calibration` the program gets its label priors here, so that every later stage finds them in it.
        engine: one that is already loaded; None: the base model is loaded if it is needed.

    Returns:
        The merged configuration that every later stage receives, and the report, whose warnings are what was read
        otherwise than the user may expect.

    Raises:
        ConfigError, TaskError, DataError, ModelError: when a setting, the task, the data or the model is not usable.
        ProgramError: when the program to start from is not usable, or does not fit the task.
        WorldError: when S3 fails.
    """
    started = time.time()
    with collected_notes() as notes:
        start, task, config = _resolved(overrides)
        data_seed = config.seed if config.data_seed is None else config.data_seed
        splits = load_splits(task, config.data, config.rows, data_seed, config.columns, column_types(task))
    model = resolve_model(config.model, start.program.model_revision if start else None)
    _check_targets(config, model)
    vanilla = start.state(task, config, model) if start else _vanilla(task, config, model)
    folder = start.folder if start else program
    vanilla, usage = _with_label_priors(vanilla, task, config, engine, folder, splits["train"])
    write_program(vanilla, program, start.adapters if start else None)
    for name, path in (("train", train), ("val", val), ("test", test)):
        write_jsonl(path, splits[name])
    sizes = {f"rows/{name}": float(len(rows)) for name, rows in splits.items()}
    predictors = markdown(", ".join(vanilla.predictors))
    report = StageReport(
        "prepare",
        "prepare",
        params=_facts(config, model, start, splits),
        metrics=sizes | baselines(task, splits["train"], splits["test"]),
        note=f"{markdown(task.description)}\n\n{len(vanilla.predictors)} predictors: {predictors}",
        warnings=(*notes, *sentences_about(task)),
        usage=usage,
        started=started,
        ended=time.time(),
    )
    return config, report


def _resolved(overrides: Mapping[str, Any]) -> tuple[Start | None, Task, Config]:
    """The program to start from, if any, the task, and the merged configuration.

    The settings that the program to start from was made with take precedence over the task's defaults.
    """
    first = resolve_config(overrides)
    start = Start.open(first.start) if first.start else None
    made_with = start.settings(first.task) if start else {}
    settings = resolve_config(made_with, overrides).task_settings
    task = start.task(settings, overrides) if start else load_task(first.task, settings)
    return start, task, resolve_config(task.config, made_with, overrides)


def _check_targets(config: Config, model: BaseModel) -> None:
    """Refuse names of layers that the model does not have; the default is left to `w`, which a run may not have."""
    if config.w.target_modules != LoraConfig().target_modules:
        check_names(model, config.w.target_modules)


def _facts(
    config: Config, model: BaseModel, start: Start | None, splits: Mapping[str, Sequence[Row]]
) -> dict[str, Any]:
    """What the run is made of: task, seed, model, program to start from, and digests of the splits."""
    facts = {"task": config.task, "seed": config.seed, "model": model.id, "model_revision": model.revision}
    if start:
        facts |= {"start": start.address, "start_sha256": program_sha256(start.folder)}
    return facts | {f"data/{name}": sha256_text(canonical_json(rows))[:16] for name, rows in splits.items()}


def _vanilla(task: Task, config: Config, model: BaseModel) -> Program:
    """The program with the task's own prompts on the base model."""
    decoding = config.decoding.model_dump(mode="json")
    states = vanilla_states(task)
    return Program(config.task, model.id, model.revision, states, decoding, task_settings=config.task_settings)


def _with_label_priors(
    vanilla: Program, task: Task, config: Config, engine: Engine | None, folder: Path, train: Sequence[Row]
) -> tuple[Program, Usage]:
    """The program with its label priors, where `decoding.calibration` asks for them, and what they took.

    `folder` holds the program's adapters.
    """
    if config.decoding.calibration == "none":
        return vanilla, Usage()
    engine = engine or open_engine(vanilla, config)
    usage_before = engine.usage
    (calibrated,) = Runner(task, config, engine, folder).calibrate([vanilla], train, "prepare calibrate")
    return calibrated, engine.usage - usage_before
