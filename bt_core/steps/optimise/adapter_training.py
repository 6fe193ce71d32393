"""The adapters of a weight step: which rows each one learns from, and where it comes from.

An adapter is copied from the cache where the same training was done before; else it is trained, in this process or
elsewhere.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from bt_core.config import Config
from bt_core.engine.base import TrainingRow
from bt_core.engine.cache_keys import base_identity, training_key
from bt_core.engine.response_cache import cache_folder
from bt_core.engine.training.adapter_cache import AdapterCache
from bt_core.engine.training.job import Curve, RemoteTraining, TrainingJob
from bt_core.lm.rendering import training_rows
from bt_core.models import BaseModel, resolve_model
from bt_core.program import AdapterRef, PredictorState, adapter_sha256
from bt_core.records import Trace
from bt_core.steps.session import Session

#: Where adapters lie in a program directory.
ADAPTER = "adapter"


class AdapterTraining:
    """Trains the adapters of one weight step.

    Args:
        session: that of the step; the memory of its engine is given back before a training in this process.
        folder: folder to write the adapters to, each under its path in a program directory.
        groups: example -> the name of its row's group; None where the task has no groups.
        remote: trains elsewhere; None: training runs in this process.
    """

    def __init__(
        self, session: Session, folder: Path, groups: Mapping[str, str | None], remote: RemoteTraining | None = None
    ) -> None:
        self.session, self.folder, self.groups, self.remote = session, folder, groups, remote

    def run(self, prompts: Mapping[str, PredictorState], passing: Sequence[Trace]) -> dict[str, Curve]:
        """Train one adapter, or one per predictor that has rows.

        Args:
            prompts: predictor -> the prompt that its training rows have.
            passing: the traces to learn from.

        Returns:
            The adapter's path in a program directory -> the loss curve of its training.

        Raises:
            BtError: when the base model cannot be found or training failed.
        """
        task = self.session.stage.task
        learned, held_out = (training_rows(task, prompts, part) for part in self._split(passing))
        curves = {}
        for path in dict.fromkeys(self._path(predictor) for predictor, _ in learned):
            curves[path] = self._adapter(path, self._rows_of(path, learned), self._rows_of(path, held_out))
        return curves

    def _split(self, passing: Sequence[Trace]) -> tuple[list[Trace], list[Trace]]:
        """The traces to learn from and those held out: no example and no group is on both sides.

        A group is held out where it is not larger than what is left of the share to hold out.
        """
        config = self._config
        shuffled = list(passing)
        random.Random(f"{config.seed}:w").shuffle(shuffled)
        count = int(len(shuffled) * config.w.holdout)
        groups: dict[str, list[Trace]] = {}
        for trace in shuffled:
            groups.setdefault(self.groups.get(trace.example) or trace.example, []).append(trace)
        learned: list[Trace] = []
        held_out: list[Trace] = []
        for members in groups.values():
            fits = len(held_out) + len(members) <= count
            (held_out if fits else learned).extend(members)
        return learned, held_out

    def _rows_of(self, path: str, rows: Iterable[tuple[str, TrainingRow]]) -> list[TrainingRow]:
        return [row for predictor, row in rows if self._path(predictor) == path]

    def _adapter(self, path: str, rows: Sequence[TrainingRow], held_out: Sequence[TrainingRow]) -> Curve:
        """Put one adapter's files into the folder, from the cache or by training it now."""
        stage, config, folder = self.session.stage, self._config, self.folder / path
        identity = base_identity(stage.program.model, stage.program.model_revision, config.engine)
        key = training_key(identity, rows, held_out, config.w, config.seed)
        cache = cache_folder()
        adapters, checkpoints = AdapterCache(cache), cache / "checkpoints" / key if cache else None
        cached = adapters.restore(key, folder)
        if cached is not None:
            return cached
        label = f"{stage.name} {path}"
        job = TrainingJob(self._base, tuple(rows), tuple(held_out), config.w, config.engine, config.seed, label)
        curve = self.remote(job, folder, key) if self.remote else self._train_here(job, folder, checkpoints)
        adapters.keep(key, folder, curve)
        return curve

    def _train_here(self, job: TrainingJob, folder: Path, checkpoints: Path | None) -> Curve:
        from bt_core.engine.training.train import train_adapter  # loads torch

        self.session.make_room()
        return train_adapter(job, folder, checkpoints)

    def _path(self, predictor: str) -> str:
        return f"{ADAPTER}/{predictor}" if self._config.w.adapters == "per_predictor" else ADAPTER

    @property
    def _config(self) -> Config:
        return self.session.stage.config

    @cached_property
    def _base(self) -> BaseModel:
        """The base model, looked up once and only when something is trained."""
        program = self.session.stage.program
        return resolve_model(program.model, program.model_revision)


def with_adapters(
    prompts: Mapping[str, PredictorState], paths: Iterable[str], folder: Path
) -> dict[str, PredictorState]:
    """The prompts, each with its predictor's own adapter or with the shared one; the adapters lie in `folder`."""
    hashes = {path: adapter_sha256(folder / path) for path in paths}
    states = {}
    for name, state in prompts.items():
        path = next((path for path in (f"{ADAPTER}/{name}", ADAPTER) if path in hashes), None)
        adapter = AdapterRef(path, hashes[path]) if path else None
        states[name] = replace(state, adapter=adapter, label_prior=None)
    return states
