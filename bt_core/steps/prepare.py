"""Prepare: check the whole configuration, split the data, write the vanilla program."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bt_core.config import Config, resolve_config
from bt_core.data import load_splits
from bt_core.engine.base import Engine
from bt_core.lm.binding import vanilla_states
from bt_core.lm.runner import Runner
from bt_core.models import resolve_model
from bt_core.program import Program, write_program
from bt_core.records import StageReport, Usage, canonical_json, sha256_text, write_jsonl
from bt_core.steps.common import open_engine
from bt_core.task import load_task


def prepare(
    overrides: Mapping[str, Any], train: Path, val: Path, test: Path, program: Path, engine: Engine | None = None
) -> tuple[Config, StageReport]:
    """Resolve what the run will do and write its inputs.

    Args:
        overrides: the user's settings; `task` is required.
        train, val, test: JSONL files to write.
        program: directory to write the vanilla program to; with `decoding.calibration` it gets its label
            priors here, so that every later step finds them in the program.
        engine: one that is already loaded; else the base model is loaded if it is needed.

    Returns:
        The merged configuration that every later step receives, and the report.

    Raises:
        ConfigError, TaskError, DataError, ModelError: when any of it is wrong.
    """
    started = time.time()
    first = resolve_config(overrides)
    task = load_task(first.task)
    config = resolve_config(task.config, overrides)
    data_seed = config.seed if config.data_seed is None else config.data_seed
    splits = load_splits(task, config.data, config.rows, data_seed)
    model = resolve_model(config.model)
    decoding = config.decoding.model_dump(mode="json")
    vanilla = Program(config.task, model.id, model.revision, vanilla_states(task), decoding)
    usage = Usage()
    if config.decoding.calibration != "none":
        runner = Runner(task, config, engine or open_engine(vanilla, config), program)
        (vanilla,) = runner.calibrate([vanilla], splits["train"], "prepare calibrate")
        usage = runner.usage
    write_program(vanilla, program)
    for name, path in (("train", train), ("val", val), ("test", test)):
        write_jsonl(path, splits[name])
    digests = {name: sha256_text(canonical_json(rows))[:16] for name, rows in splits.items()}
    report = StageReport(
        "prepare",
        "prepare",
        params={"task": config.task, "seed": config.seed, "model": model.id, "model_revision": model.revision}
        | {f"data/{name}": digest for name, digest in digests.items()},
        metrics={f"rows/{name}": float(len(rows)) for name, rows in splits.items()},
        note=f"{task.description}\n\n{len(vanilla.predictors)} predictors: {', '.join(vanilla.predictors)}",
        usage=usage,
        started=started,
        ended=time.time(),
    )
    return config, report
