"""A teacher: another LM that runs the program while traces are gathered."""

from dataclasses import replace

from bt_core.config import Config
from bt_core.models import resolve_model
from bt_core.program import Program
from bt_core.steps.common import Stage


def taught(work: Stage) -> Stage:
    """The stage with the teacher's model and engine in place of the program's; as it is where there is no teacher.

    The teacher gets the program's prompts and demonstrations. Adapters and label priors stay out: they belong to the
    student's weights. An engine that the stage has opened stays with it: the teacher's is opened anew.

    Raises:
        ModelError: when the teacher's model is not to be had.
    """
    teacher = work.config.teacher
    if not teacher.model:
        return work
    config = work.config.model_copy(update={"engine": teacher.engine})
    return replace(work, program=_on(work.program, config, teacher.model), config=config, given=None, _runner=None)


def _on(program: Program, config: Config, model: str) -> Program:
    remote = config.engine.kind == "server" and config.engine.protocol == "chat"
    revision = "" if remote else resolve_model(model).revision
    bare = {name: replace(state, adapter=None, label_prior=None) for name, state in program.predictors.items()}
    return replace(program, model=model, model_revision=revision, predictors=bare)
