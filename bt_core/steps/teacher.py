"""A teacher: another LM that runs the program while traces are gathered."""

from dataclasses import replace

from bt_core.config import Config
from bt_core.models import resolve_model
from bt_core.program import Program
from bt_core.steps.session import Session


def teacher_session(session: Session) -> Session:
    """A session of the same stage with the teacher's model and engine; the session itself where there is no teacher.

    The teacher gets the program's prompts and demonstrations. Adapters and label priors are left out, because they
    belong to the student's weights. The student's engine stays with its own session.

    Raises:
        ModelError: when the teacher's model cannot be found.
    """
    stage = session.stage
    teacher = stage.config.teacher
    if not teacher.model:
        return session
    config = stage.config.model_copy(update={"engine": teacher.engine})
    if _is_chat(config) and config.decoding.closed == "whole":
        # Such an endpoint scores no labels, it is only held to them; `whole` says how the student scores them.
        config = config.model_copy(update={"decoding": config.decoding.model_copy(update={"closed": "scored"})})
    program = _without_weights(stage.program, config, teacher.model)
    return Session(replace(stage, program=program, config=config))


def _is_chat(config: Config) -> bool:
    return config.engine.kind == "server" and config.engine.protocol == "chat"


def _without_weights(program: Program, config: Config, model: str) -> Program:
    """The program's prompts on another base model."""
    revision = "" if _is_chat(config) else resolve_model(model).revision
    states = {name: replace(state, adapter=None, label_prior=None) for name, state in program.predictors.items()}
    return replace(program, model=model, model_revision=revision, predictors=states)
