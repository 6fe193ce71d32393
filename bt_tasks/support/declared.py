"""Tasks that a YAML or JSON file declares, without any Python; docs/tasks.md shows one.

The file's content becomes the task's settings, so that the configuration and the program directory contain it. Labels
that come from the data are read once, when the data are prepared; later stages find them in `known_labels`.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, cast

import dspy
from pydantic import Field, field_validator, model_validator

from bt_core.config import Address, Section, built_in_kinds, config_model, merge
from bt_core.data import note
from bt_core.errors import TaskError
from bt_core.task import Task, TaskFactory
from bt_tasks.support.declared_data import DataNames, labels_of, rows_of
from bt_tasks.support.declared_fields import Fields, sides
from bt_tasks.support.declared_metric import MetricChoice, metric_of
from bt_tasks.support.prompting import Format, module_of, prompt_format

FROM_DATA = "data"


class Module(Section):
    """One predictor of the program."""

    name: str = Field("", description="by which its prompt is known; empty: that of its first output")
    signature: str = Field(description="its fields, such as `message, gist -> intent` or `text -> score: int`")
    instructions: str = Field("", description="what the LM is told to do; empty: DSPy's sentence that names the fields")
    reasoning: bool = Field(False, description="whether the LM reasons before it answers")

    def name_among(self, outputs: Fields) -> str:
        """The module's name in the program."""
        return self.name or next(iter(outputs))


class Declared(Section):
    """A task in a file. Modules run one after the other; each reads inputs and what the ones before it answered."""

    name: str = Field("", description="for tables; empty: that of the file")
    description: str = ""
    signature: str = Field("", description="of a program of one module; else `modules`")
    instructions: str = Field("", description="of a program of one module")
    reasoning: bool = Field(False, description="of a program of one module")
    modules: tuple[Module, ...] = ()
    fields: dict[str, str] = Field({}, description="field -> its description in the prompt")
    labels: dict[str, Literal["data"] | tuple[str, ...]] = Field(
        {}, description="closed field -> its possible answers, or `data`: those that the data hold"
    )
    known_labels: dict[str, tuple[str, ...]] = Field({}, description="filled in when the data are prepared")
    metric: MetricChoice = Field(description="its kind, or a mapping with more")
    data: Address | DataNames = Field(
        "", description="a file, folder, s3:// or hub: address, or one for train, val, test"
    )
    columns: dict[str, str] = Field({}, description="the task's column -> what the data call it")
    stratify: str = Field("", description="column whose values are spread evenly over the splits")
    group: str = Field("", description="column that names a row's group, which no two splits share")
    format: Format = Field("lines", description="of prompts: short lines, or DSPy's chat format")
    config: dict[str, Any] = Field({}, description="settings that suit the task, such as rows and decoding")

    @model_validator(mode="before")
    @classmethod
    def _plain_metric(cls, values: Any) -> Any:
        """`metric: f1` is short for `metric: {kind: f1}`."""
        if isinstance(values, Mapping) and isinstance(values.get("metric"), str):
            return {**values, "metric": {"kind": values["metric"]}}
        return values

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_as_texts(cls, values: Any) -> Any:
        """A label in JSON may be a number, a truth value or null; it means its text there, as it does in YAML."""
        if not isinstance(values, Mapping):
            return values
        return {
            field: [label if isinstance(label, str) else json.dumps(label) for label in labels]
            if isinstance(labels, list)
            else labels
            for field, labels in values.items()
        }

    @property
    def parts(self) -> tuple[Module, ...]:
        """The modules of the program.

        Raises:
            TaskError: when the file declares none, or has both `signature` and `modules`.
        """
        if bool(self.signature) == bool(self.modules):
            raise TaskError(f"The task `{self.name}` needs either `signature` or `modules`: write one of them.")
        alone = Module(signature=self.signature, instructions=self.instructions, reasoning=self.reasoning)
        return self.modules or (alone,)


def make(settings: Declared) -> Task:
    """Make the task that a file declares.

    Raises:
        TaskError: when a signature cannot be read, modules do not fit together, a field is unknown, or labels cannot be
            found.
    """
    modules = [(part, *sides(part.signature, settings.name)) for part in settings.parts]
    all_outputs = {name for _, _, outputs in modules for name in outputs}
    _check_modules(settings, modules, all_outputs)
    all_inputs = dict.fromkeys(name for _, inputs, _ in modules for name in inputs)
    task_inputs = tuple(name for name in all_inputs if name not in all_outputs)
    answer = settings.metric.field or next(iter(modules[-1][2]))
    unknown = ({answer, *settings.labels} - all_outputs) | (settings.fields.keys() - all_outputs - all_inputs.keys())
    if unknown:
        raise TaskError(f"The task `{settings.name}` has no field `{'`, `'.join(sorted(unknown))}`: correct its file.")
    labels = {**_labels_from_data(settings), **_listed_labels(settings)}
    return Task(
        name=settings.name,
        program=partial(_Chain, settings.model_copy(update={"data": "", "columns": {}, "config": {}}), labels),
        metric=metric_of(settings.metric, answer),
        inputs=task_inputs,
        labels=(settings.metric.label or answer,),
        data=partial(rows_of, settings.data, settings.columns) if settings.data else None,
        stratify=settings.stratify,
        group=settings.group,
        adapter=prompt_format(settings.format),
        config=merge(
            {"decoding": {"stop": ["\n"]}} if settings.format == "lines" and not _reasons(settings) else {},
            {"columns": settings.columns} if settings.columns else {},
            {"task_settings": {"known_labels": labels}} if labels else {},
            settings.config,
        ),
        description=settings.description,
    )


def _reasons(settings: Declared) -> bool:
    return any(part.reasoning for part in settings.parts)


def _listed_labels(settings: Declared) -> dict[str, list[str]]:
    """The labels that the file lists, by field, without the blanks around them, which no answer has."""
    listed = {}
    for field, written in settings.labels.items():
        if isinstance(written, str):
            continue
        labels = listed[field] = list(dict.fromkeys(label.strip() for label in written))
        if field not in settings.known_labels and any(label != label.strip() for label in written):
            note(f"The task `{settings.name}` lists labels of `{field}` with blanks around them: they are taken off.")
        if len(set(labels)) < 2:
            raise TaskError(f"The task `{settings.name}` lists fewer than two labels for `{field}`: list all of them.")
    return listed


def _labels_from_data(settings: Declared) -> dict[str, list[str]]:
    """The labels that come from the data, by field; they are read only where they are not known yet."""
    fields = [field for field, labels in settings.labels.items() if labels == FROM_DATA]
    if all(field in settings.known_labels for field in fields):
        return {field: list(settings.known_labels[field]) for field in fields}
    if not settings.data:
        raise TaskError(f"The labels of `{fields[0]}` should come from the data, but the file names none: list them.")
    rows = rows_of(settings.data, settings.columns)
    return {field: labels_of(rows, field) for field in fields}


def _check_modules(settings: Declared, modules: Sequence[tuple[Module, Fields, Fields]], all_outputs: set[str]) -> None:
    """Check that modules have distinct names, and read only fields that exist when they run.

    Raises:
        TaskError: when they do not; names the first module.
    """
    names: set[str] = set()
    outputs_so_far: set[str] = set()
    reserved = {*vars(dspy.Module()), *dir(_Chain)}
    for part, inputs, outputs in modules:
        name = part.name_among(outputs)
        too_early = sorted((inputs.keys() & all_outputs) - outputs_so_far)
        if not name.isidentifier() or name.startswith("_") or name in reserved:
            raise TaskError(f"A module of task `{settings.name}` cannot be called `{name}`: give it another `name`.")
        if name in names:
            raise TaskError(f"Two modules of task `{settings.name}` are called `{name}`: give one another `name`.")
        if too_early:
            raise TaskError(
                f"The module `{name}` of task `{settings.name}` reads `{too_early[0]}` before one answers it: change"
                " the order of the modules."
            )
        names.add(name)
        outputs_so_far |= outputs.keys()


class _Chain(dspy.Module):
    """The declared modules, one after the other."""

    def __init__(self, settings: Declared, known: Mapping[str, list[str]]) -> None:
        super().__init__()
        self._order: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
        for part in settings.parts:
            inputs, outputs = sides(part.signature, settings.name)
            closed = {name: cast(Any, Literal)[tuple(known[name])] for name in outputs if name in known}
            marked = {
                **{name: (kind, dspy.InputField(**_description(name, settings))) for name, kind in inputs.items()},
                **{
                    name: (closed.get(name, kind), dspy.OutputField(**_description(name, settings)))
                    for name, kind in outputs.items()
                },
            }
            name = part.name_among(outputs)
            setattr(self, name, module_of(dspy.make_signature(marked), part.instructions, part.reasoning))
            self._order.append((name, tuple(inputs), tuple(outputs)))

    def forward(self, **given: Any) -> Any:
        answers: dict[str, Any] = {}
        for name, inputs, outputs in self._order:
            state = {**given, **answers}
            found = getattr(self, name)(**{field: state[field] for field in inputs})
            answers |= {field: found[field] for field in outputs}
        return dspy.Prediction(**answers)


def _description(name: str, settings: Declared) -> dict[str, str]:
    return {"desc": settings.fields[name]} if name in settings.fields else {}


def _outside() -> tuple[str, ...]:
    """The settings that name an address, a file or a variable; among the run's, all but those known to name none."""
    plain = {"seed", "data_seed", "columns", "rows", "decoding", "bootstrap", "retrain", "select", *built_in_kinds()}
    run = (f"config.{key}" for key in config_model().model_fields if key not in plain)
    return ("data", "metric.endpoint", "metric.key_variable", *run)


task = TaskFactory(Declared, make, names=_outside())
