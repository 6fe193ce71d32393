"""The LM that writes instructions for the searches of other libraries (`g` and `m`)."""

from collections.abc import Iterator
from contextlib import contextmanager

from bt_core.config import WriterConfig
from bt_core.engine.base import Sampling
from bt_core.errors import ConfigError
from bt_core.lm.optimisers.instruction_writer import InstructionWriter
from bt_core.steps.session import Session
from bt_core.steps.teacher import teacher_session


@contextmanager
def open_writer(session: Session, settings: WriterConfig) -> Iterator[InstructionWriter]:
    """Open the writer: the program's base model without its adapter, or the teacher.

    The teacher's engine is closed at the end, and what it spent counts as the stage's.

    Raises:
        ConfigError: when the teacher is asked to write and the configuration names none.
        ModelError: when the teacher's model cannot be found.
    """
    stage = session.stage
    sampling = Sampling(settings.temperature, max_tokens=settings.max_tokens, seed=stage.config.seed * 1_000)
    if settings.writer == "base":
        yield InstructionWriter(session.engine, sampling)
        return
    if not stage.config.teacher.model:
        raise ConfigError(
            f"`{stage.kind}.writer` is `teacher`, but `teacher.model` names none: name one, or use `base`."
        )
    teacher = teacher_session(session)
    try:
        yield InstructionWriter(teacher.engine, sampling)
    finally:
        teacher.close()
        session.count(teacher.usage)
