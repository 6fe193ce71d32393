"""`program.json`: what `bt_core.program` writes and reads, key by key."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from bt_core.formats.document import Part, Score, Seed
from bt_core.formats.paths import InsidePath

#: What else lies in a program directory, a bundle and a pipeline's hand-over (`bt_core.steps.handover`) included.
_BESIDE = {"program.json", "README.md", "manifest.json", "reports.jsonl", "best"}
_IN_ADAPTER = {"adapter_config.json", "adapter_model.safetensors"}


def _own_folder(path: str) -> str:
    names = path.split("/")
    if names[0] in _BESIDE or _IN_ADAPTER & set(names):
        raise PydanticCustomError("path", "Input should not be the name of another file of the program")
    return path


class SignatureField(Part):
    """A field of a predictor's signature."""

    name: str = Field(description="name of the field")
    type: str = Field(description="its type")
    description: str = Field("", description="its description")


class AdapterFiles(Part):
    """A LoRA adapter in the program directory."""

    path: Annotated[InsidePath, AfterValidator(_own_folder)] = Field(description="its folder in the directory")
    sha256: str = Field(description="sha256 over its configuration and its weights")


class Predictor(Part):
    """The prompt of one predictor, and the adapter that its calls use."""

    instructions: str = Field(description="the prompt's instructions")
    inputs: tuple[SignatureField, ...] = Field(description="its input fields, in the order of the prompt")
    outputs: tuple[SignatureField, ...] = Field(description="its output fields, in the order of the prompt")
    demos: tuple[dict[str, Any], ...] = Field(description="its demonstrations: field -> value")
    label_prior: dict[str, float] | None = Field(
        None, description="mean log-probability of each closed answer; null: not calibrated"
    )
    adapter: AdapterFiles | None = Field(description="its adapter; null: the base model alone")


class ProgramStep(Part):
    """A step in the history of the program."""

    kind: str = Field(description="letter of the step")
    stage: str = Field(description="label of the step, such as `2.w`")
    seed: Seed = Field(description="the run's seed")
    config: dict[str, Any] = Field(description="the step's settings")
    parent: str = Field(description="sha256 of the program that the step began with")
    val_before: Score | None = Field(None, description="mean validation score before; null: not measured")
    val_after: Score | None = Field(None, description="mean validation score after; null: not measured")
    outcome: str = Field("", description="what the step left out; empty: nothing")


class ProgramFile(Part):
    """The whole file."""

    task: str = Field(description="name of the task, or where it is imported from")
    model: str = Field(description="the base model")
    model_revision: str = Field(description="revision of the base model")
    predictors: dict[str, Predictor] = Field(description="its predictors by name")
    decoding: dict[str, Any] = Field({}, description="the decoding settings that it was made and scored with")
    lineage: tuple[ProgramStep, ...] = Field(description="the steps that led to it, oldest first")
    task_settings: dict[str, Any] = Field({}, description="the settings that its task was made with")
    schema_version: Literal[1] = Field(description="1; others are refused")

    @model_validator(mode="after")
    def _one_adapter_a_path(self) -> Self:
        sha256: dict[str, str] = {}
        for predictor in self.predictors.values():
            adapter = predictor.adapter
            if adapter and sha256.setdefault(adapter.path, adapter.sha256) != adapter.sha256:
                raise PydanticCustomError("adapters", "Input should name one sha256 for the adapter of a path")
        return self
