"""Write a finished program as a folder that answers without this project."""

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from bt_core.bundle.card import vllm_rank
from bt_core.bundle.made_task import made_of
from bt_core.bundle.run_score import run_score
from bt_core.config import Config
from bt_core.errors import ConfigError, ProgramError
from bt_core.export.kubernetes import MANIFEST_FILE, inference_service
from bt_core.export.readme import Contents, readme
from bt_core.export.slicing import Slice
from bt_core.export.values import Source
from bt_core.lm.exporting.state import Exported, settings_of
from bt_core.lm.modules import adapter_of, chat_format
from bt_core.models import copy_model, resolve_model
from bt_core.models.published import HubModel, on_hub
from bt_core.program import Program, program_sha256, read_program
from bt_core.records import canonical_json
from bt_core.task import Task, is_declaration, module_of

#: What `serve.py` takes from this project, as module and name.
ANSWERING = (
    ("bt_core.lm.exporting.standalone", "Standalone"),
    ("bt_core.engine.local.plain_engine", "PlainEngine"),
    ("bt_core.engine.remote.plain_server", "PlainServer"),
    ("bt_core.engine.tokens.vocabulary", "Vocabulary"),
    ("bt_core.models", "BaseModel"),
)
#: What `serve.py` and the program's format need besides the modules that their sources import.
ALWAYS = ("dspy", "huggingface_hub")
_COPIED = (
    "# Copied out of the project BetterTogether as Kubeflow pipelines (Apache-2.0), as far as serve.py needs it.\n\n"
)


@dataclass(frozen=True)
class Wishes:
    """What a user says about an export.

    Attributes:
        base: the base model on the hub; None: the one that the program names.
        result: the result.json with the test score; None: the one beside the program.
        with_base: whether the folder gets the base model's files too.
        adapters: s3://bucket/prefix where `adapters/` will lie, for the Kubernetes manifest; empty: it is not written.
    """

    base: HubModel | None = None
    result: Path | None = None
    with_base: bool = False
    adapters: str = ""


def export(
    program: Path, folder: Path, wishes: Wishes = Wishes(), overrides: Mapping[str, Any] | None = None
) -> list[str]:
    """Write the folder, whole or not at all, and return the names of its files.

    Args:
        program: the program directory.
        folder: the folder to write; it must not exist, or be empty.
        wishes: what is to be otherwise than by default.

    Raises:
        ProgramError, TaskError: when the directory or its task is not usable, they do not fit each other, or the
            program's code cannot be copied; and when the folder holds something.
        ConfigError: when it is not known where others get the base model.
        DataError: when the named result is not the program's.
        ModelError, WorldError: when the base model is to be copied and cannot be had.
    """
    state = read_program(program)
    task, config = made_of(state, overrides, str(program))
    base = wishes.base or _base_of(state)
    scratch = folder.absolute().with_name(f".{folder.absolute().name}.{uuid.uuid4().hex}.partial")
    scratch.mkdir(parents=True)
    try:
        _write(scratch, program, state, task, config, base, wishes)
        names = sorted(path.relative_to(scratch).as_posix() for path in scratch.rglob("*") if path.is_file())
        try:
            scratch.rename(folder)  # replaces an empty folder, but no other
        except OSError:
            raise ProgramError(
                f"{folder} already holds something: export to another folder, it stays as it is."
            ) from None
        return names
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write(
    folder: Path, program: Path, state: Program, task: Task, config: Config, base: HubModel, wishes: Wishes
) -> None:
    exported = Exported(task, state, config)
    exported.save(folder / "state.json")
    adapters = {path: path.replace("/", "-") for path in state.adapters}
    ranks = [_copy_adapter(program / path, folder / "adapters" / name, base) for path, name in adapters.items()]
    rank = vllm_rank(max(ranks, default=1))
    settings = _settings(exported, state, task, config, base, adapters)
    (folder / "settings.json").write_text(canonical_json(settings), encoding="utf-8")
    installed = _write_sources(folder, state, task)
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in _pins(installed, bool(adapters))), "utf-8")
    if wishes.with_base:
        copy_model(resolve_model(state.model, state.model_revision), folder / "base")
    if wishes.adapters:
        manifest = inference_service(task.name, base, tuple(adapters.values()), rank, wishes.adapters)
        (folder / MANIFEST_FILE).write_text(manifest, encoding="utf-8")
    contents = Contents(
        task=task.name,
        inputs=task.inputs,
        base=base,
        adapters=tuple(adapters.values()),
        rank=rank,
        sha256=program_sha256(program),
        score=run_score(program, wishes.result),
        format=type(adapter_of(task)).__name__,
        prompts=exported.example_prompts(),
        settings=settings,
        has_manifest=bool(wishes.adapters),
        has_base=wishes.with_base,
    )
    (folder / "README.md").write_text(readme(contents), encoding="utf-8")


def _settings(
    exported: Exported, state: Program, task: Task, config: Config, base: HubModel, adapters: Mapping[str, str]
) -> dict[str, Any]:
    by_sha256 = {reference.sha256: adapters[path] for path, reference in state.adapters.items()}
    decoding = config.decoding
    return {
        "base": {"id": base.id, "revision": base.revision},
        "adapters": list(adapters.values()),
        "inputs": list(task.inputs),
        "predictors": settings_of(exported.templates, by_sha256),
        "sampling": {
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "max_tokens": decoding.max_tokens,
            "stop": list(decoding.stop),
            "seed": config.seed,
        },
    }


def _base_of(state: Program) -> HubModel:
    base = on_hub(state.model, state.model_revision)
    if base is None:
        raise ConfigError(
            f"The program's base model is the folder {state.model}, which others do not have: name it on the hub with"
            " --base-model ORG/NAME@REVISION."
        )
    return base


def _copy_adapter(source: Path, target: Path, base: HubModel) -> int:
    """Copy an adapter's files so that it names the base model on the hub; returns its rank."""
    target.mkdir(parents=True)
    shutil.copyfile(source / "adapter_model.safetensors", target / "adapter_model.safetensors")
    config = json.loads((source / "adapter_config.json").read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base.id, "revision": base.revision, "task_type": "CAUSAL_LM"}
    (target / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return int(config.get("r", 8))  # 8 is PEFT's default


def _write_sources(folder: Path, state: Program, task: Task) -> set[str]:
    """Write the three files of Python; returns the packages that they import."""
    home = "" if is_declaration(state.task) else module_of(state.task).partition(".")[0]
    program = Source(folder, home)
    program.define("make_program", task.program)
    program.define("make_adapter", task.adapter or chat_format)
    answering = Slice()
    for module, name in ANSWERING:
        answering.add(module, name)
    serve = files("bt_core.export").joinpath("serve.py.template").read_text(encoding="utf-8")
    heading = f'"""The program and the prompt format of the task `{task.name}`, copied out of its modules."""\n\n'
    for name, text in (("program.py", heading + program.text()), ("answering.py", _COPIED + answering.text())):
        compile(text, name, "exec")
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "serve.py").write_text(serve, encoding="utf-8")
    return program.slice.installed | answering.installed


def _pins(installed: set[str], has_adapters: bool) -> list[str]:
    """The packages with the versions that are installed here."""
    known = packages_distributions()
    modules = installed | set(ALWAYS) | ({"peft"} if has_adapters else set())
    distributions = {known[module][0] for module in modules if module in known}
    return sorted(f"{name}=={version(name)}" for name in distributions)
