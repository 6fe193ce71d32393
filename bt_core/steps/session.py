"""What a stage asks of its engine: the engine is opened when it is first needed, and all that it spends is counted."""

import gc
import time
from pathlib import Path
from typing import Any

from bt_core.engine.base import Engine
from bt_core.engine.lazy_engine import LazyEngine
from bt_core.lm.runner import Runner
from bt_core.records import StageReport, Usage
from bt_core.steps.engines import open_engine
from bt_core.steps.stage import Stage


class Session:
    """The program runs of one stage.

    Args:
        stage: the opened stage.
        engine: one that is already loaded, which stays open; None: the stage's own is opened and closed here.
    """

    def __init__(self, stage: Stage, engine: Engine | None = None) -> None:
        self.stage = stage
        self._given = engine
        self._engine: Engine | None = None
        self._usage_before = Usage()
        self._spent = Usage()

    @property
    def engine(self) -> Engine:
        """The engine on the base model of the stage's program.

        Raises:
            BtError: when the engine cannot be opened.
        """
        if self._engine is None:
            self._engine = self._given or open_engine(self.stage.program, self.stage.config)
            self._usage_before = self._engine.usage
        return self._engine

    @property
    def runner(self) -> Runner:
        """A runner for programs whose adapters lie in the stage's program directory."""
        return self.runner_in(self.stage.folder)

    def runner_in(self, folder: Path) -> Runner:
        """A runner for programs whose adapters lie in `folder`."""
        return Runner(self.stage.task, self.stage.config, self.engine, folder)

    @property
    def usage(self) -> Usage:
        """What the stage has spent so far."""
        if self._engine is None:
            return self._spent
        return self._spent + (self._engine.usage - self._usage_before)

    def count(self, usage: Usage) -> None:
        """Add what another engine spent for this stage."""
        self._spent += usage

    def close(self) -> None:
        """Close an engine that was opened here, and give its memory back; the next run opens another one."""
        if self._engine is None:
            return
        self._spent = self.usage
        if self._given is None:
            self._engine.close()
        self._engine = None
        gc.collect()

    def make_room(self) -> None:
        """Give back the memory of an engine that several stages share, which loads its model again when asked."""
        if isinstance(self._given, LazyEngine):
            self._given.close()

    def report(self, **parts: Any) -> StageReport:
        """Close the session and report the stage, with what it spent and how long it took."""
        self.close()
        stage = self.stage
        return StageReport(stage.name, stage.kind, usage=self._spent, started=stage.started, ended=time.time(), **parts)
