"""The model card of a bundle, in the Hugging Face format (hub-docs, `modelcard.md`): a YAML header, then Markdown."""

import shlex
from pathlib import Path

from bt_core.formats.adapter_config import AdapterConfig
from bt_core.models.published import on_hub
from bt_core.program import LineageStep, Program, program_sha256
from bt_core.storage import is_remote
from bt_core.task import is_built_in

CARD_FILE = "README.md"
#: Ranks that vLLM accepts for `--max-lora-rank` (vllm.config.lora, `MaxLoRARanks`).
VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)

_OF_THESE_PROGRAMS = (
    "Validation rows chose between programs, so these scores are optimistic. They are about these programs: another"
    " seed may give others."
)


def model_card(program: Program, folder: Path, address: str, score: str | None = None) -> str:
    """The text of the model card, which holds no path of this machine.

    It states no licence and no language, since the program has none. The scores of its header are those of the lineage.

    Args:
        program: the program that is published.
        folder: the program's directory, with its adapters.
        address: the bundle's address.
        score: what sealed test rows say of the program, in sentences; None: it is not known.
    """
    place = address if is_remote(address) else "BUNDLE"
    parts = [
        f"---\n{_header(program)}\n---",
        f"# An LM program for `{program.task}`",
        _intro(program, folder),
        *([f"## What it scored\n\n{score}"] if score else []),
        f"## Use it\n\n{_predict(program, place)}",
        *(_serve(program, folder, place) if program.adapters else ()),
        f"## How prompts are built\n\n{_prompts(program)}",
        f"## Lineage\n\n{_lineage(program.lineage)}",
    ]
    return "\n\n".join(parts) + "\n"


def _header(program: Program) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    base = on_hub(program.model, program.model_revision)
    results = [  # the last step's score is the program's
        EvalResult(
            task_type="text-generation",
            dataset_type=program.task,
            dataset_name=f"{program.task}, validation split",
            metric_type="score",
            metric_name="mean of the task's metric",
            metric_value=step.val_after,
        )
        for step in program.lineage[-1:]
        if step.val_after is not None
    ]
    card = ModelCardData(
        base_model=base.id if base else None,
        library_name="peft" if program.adapters else "dspy",
        pipeline_tag="text-generation",
        tags=["bettertogether", "dspy", *(["lora"] if program.adapters else [])],
        model_name=program.task if results else None,
        eval_results=results or None,
    )
    return str(card.to_yaml())


def _intro(program: Program, folder: Path) -> str:
    predictors = "\n".join(
        f"- `{name}`: {', '.join(f.name for f in state.inputs)} -> {', '.join(f.name for f in state.outputs)};"
        f" {len(state.demos)} demonstrations, {f'adapter `{state.adapter.path}`' if state.adapter else 'no adapter'}"
        for name, state in program.predictors.items()
    )
    return (
        f"A DSPy program whose prompts and weights were optimised together. Prompts and lineage are in"
        f" `program.json` (sha256 `{program_sha256(folder)}`), weights are LoRA adapters on {_base(program)}.\n\n"
        f"{predictors}"
    )


def _base(program: Program) -> str:
    """The base model in words: by its id where others can get it, and never by a path of this machine."""
    base = on_hub(program.model, program.model_revision)
    if base is not None:
        copy = "" if base.is_copy else "a 4-bit copy of "
        return f"{copy}`{base.id}`, revision `{base.revision}`"
    where = f"the model in `{program.model}`" if is_remote(program.model) else "a model that was in a folder"
    return f"{where} (content `{program.model_revision[:12]}`)"


def _prompts(program: Program) -> str:
    decoding = (
        ", ".join(f"{name} {value}" for name, value in sorted(program.decoding.items())) or "the default settings"
    )
    return (
        "The task's DSPy adapter writes instructions, demonstrations and inputs as chat messages, and the base model's"
        " chat template makes one text of them, up to where the answer begins (`add_generation_prompt=True`). The"
        f" program was made and scored with this decoding: {decoding}. `bt export` writes a folder that does the same"
        " without this project, and shows the messages."
    )


def _predict(program: Program, address: str) -> str:
    outputs = {field.name for state in program.predictors.values() for field in state.outputs}
    inputs = dict.fromkeys(
        field.name for state in program.predictors.values() for field in state.inputs if field.name not in outputs
    )
    task = [] if is_built_in(program.task) else ["--task", program.task]
    return _block("sh", shlex.join(["bt", "predict", address, *task, *(f"{name}=..." for name in inputs)]))


def _serve(program: Program, folder: Path, address: str) -> list[str]:
    modules = {path.replace("/", "-"): path for path in program.adapters}
    rank = vllm_rank(max(AdapterConfig.read(folder / path / "adapter_config.json").r for path in modules.values()))
    first = next(iter(program.adapters))
    named = " ".join(f"{name}=BUNDLE/{path}" for name, path in modules.items())
    vllm = f"vllm serve BASE --enable-lora --max-lora-rank {rank} --lora-modules {named}"
    peft = (
        "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n"
        "base = AutoModelForCausalLM.from_pretrained(BASE)\n"
        f'model = PeftModel.from_pretrained(base, f"{{BUNDLE}}/{first}")'
    )
    copied = f" (`bt publish {address} BUNDLE`)" if is_remote(address) else ""
    return [
        "## Serve the weights\n\n"
        f"`BUNDLE` is a local copy{copied}, `BASE` the base model's folder or hub id. The"
        " weights answer as the program does when they get its prompts: instructions and demonstrations of"
        " `program.json`.",
        f"With vLLM:\n\n{_block('sh', vllm)}",
        f"With PEFT:\n\n{_block('python', peft)}",
    ]


def vllm_rank(rank: int) -> int:
    """The lowest rank that `--max-lora-rank` takes and that leaves room for this one."""
    return next((allowed for allowed in VLLM_RANKS if allowed >= rank), rank)


def _lineage(lineage: tuple[LineageStep, ...]) -> str:
    if not lineage:
        return "No step has changed this program: these are the task's own prompts."
    rows = [
        f"| {step.stage} | {step.kind} | {step.seed} | {_number(step.val_before)} | {_number(step.val_after)} |"
        f" `{step.parent[:12]}` |"
        for step in lineage
    ]
    head = "| stage | kind | seed | validation before | validation after | made from |\n|---|---|---|---|---|---|"
    return "\n".join([head, *rows, "", _OF_THESE_PROGRAMS])


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _block(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"
