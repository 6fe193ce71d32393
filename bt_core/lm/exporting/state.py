"""A program state as DSPy itself keeps it, and what DSPy does not keep: adapters, closed answers and their prior."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from bt_core.config import Config
from bt_core.engine.base import Completion, Message, Request
from bt_core.lm.binding import Binding
from bt_core.lm.modules import adapter_of, predictors_of
from bt_core.program import Program
from bt_core.task import Task


class Exported:
    """A program with its prompts, ready to be saved.

    Args:
        task: makes the module.
        program: the state.
        config: gives the decoding and the seed.

    Raises:
        ProgramError: when the program was made for another module than the task has.
    """

    def __init__(self, task: Task, program: Program, config: Config) -> None:
        self._task = task
        self._module = Binding(task, Path(), _ask, _raise).module(program, config.decoding, config.seed)
        predictors = predictors_of(self._module)
        self.templates: Mapping[str, Request] = next(iter(predictors.values())).lm.engine.templates
        for predictor in predictors.values():
            predictor.lm = None

    def save(self, path: Path) -> None:
        """Write DSPy's state, which `program.load` reads: instructions, demonstrations and fields."""
        self._module.save(path)

    def example_prompts(self, placeholder: str = "{%s}") -> dict[str, tuple[Message, ...]]:
        """Each predictor's messages for inputs that stand for themselves, such as `{city}`.

        Args:
            placeholder: what stands for an input; `%s` is its name.
        """
        adapter = adapter_of(self._task)
        prompts = {}
        for name, predictor in predictors_of(self._module).items():
            inputs = {field: placeholder % field for field in predictor.signature.input_fields}
            messages = adapter.format(predictor.signature, predictor.demos, inputs)
            prompts[name] = tuple(Message(message["role"], str(message["content"])) for message in messages)
        return prompts


def _ask(_: Request) -> Completion:
    raise AssertionError("a program that is saved asks nothing")


def _raise(error: Exception) -> NoReturn:
    raise error


def settings_of(templates: Mapping[str, Request], adapters: Mapping[str, str]) -> dict[str, Any]:
    """What `bt_core.lm.exporting.standalone.Standalone` needs to know of each predictor, as JSON.

    Args:
        templates: predictor -> its request without the messages.
        adapters: sha256 of an adapter -> the name of its folder.
    """
    return {
        name: {
            "adapter": adapters[template.adapter.sha256] if template.adapter else None,
            "labels": list(template.labels),
            "label_prior": list(template.label_prior),
            "walk": template.walk,
            "whole": template.whole,
        }
        for name, template in templates.items()
    }
