"""The README.md of an exported folder: how to run it, what it scored, and how its prompts are built."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bt_core.engine.base import Message
from bt_core.export.kubernetes import MANIFEST_FILE
from bt_core.models.published import HubModel

_FILES = """\
| file | what it is |
|---|---|
| `serve.py` | the commands above |
| `program.py` | the program and its prompt format, as source |
| `state.json` | instructions and demonstrations, as DSPy's `program.load` reads them |
| `settings.json` | base model, decoding, and of each predictor its adapter, labels and label prior |
| `answering.py` | how a prompt becomes an answer: tokens, labels, decoding |
| `adapters/` | LoRA adapters in PEFT's format, if the program has any |
| `requirements.txt` | the packages, in the versions with which this folder was made |
"""
_COPY = (
    " The program was made with a copy of it in 4 bits, so that the hub's own weights answer a little differently; `bt"
    " export --with-base` puts the very weights into `base/`, and `--base FOLDER` takes them from another folder."
)


@dataclass(frozen=True)
class Contents:
    """What the page tells.

    Attributes:
        task: its name.
        inputs: the program's inputs.
        base: the base model.
        adapters: the adapters' names; none: the base model answers alone.
        rank: the least `--max-lora-rank` for them.
        sha256: the program's identity.
        score: sentences with the test score; None: it is not known.
        format: name of the class of the prompt format.
        prompts: predictor -> its messages, with inputs that stand for themselves.
        settings: the content of settings.json.
        has_manifest: whether the folder has one for Kubernetes.
        has_base: whether the folder holds the base model's files.
    """

    task: str
    inputs: tuple[str, ...]
    base: HubModel
    adapters: tuple[str, ...]
    rank: int
    sha256: str
    score: str | None
    format: str
    prompts: Mapping[str, Sequence[Message]]
    settings: Mapping[str, Any]
    has_manifest: bool
    has_base: bool


def readme(contents: Contents) -> str:
    """The page's text."""
    score = contents.score or "No test score came with the program."
    parts = [
        f"# The program `{contents.task}`",
        f"A DSPy program whose prompts and weights were optimised together (program `{contents.sha256[:12]}`)."
        " It answers with DSPy and transformers or vLLM alone.",
        f"## What it scored\n\n{score}",
        f"## Answer in this process\n\n{_in_process(contents)}",
        f"## Answer over vLLM\n\n{_over_vllm(contents)}",
        f"## Use the parts\n\n{_parts(contents)}",
        f"## How prompts are built\n\n{_prompts(contents)}",
        f"## Files\n\n{_FILES.rstrip()}",
    ]
    return "\n\n".join(parts) + "\n"


def _in_process(contents: Contents) -> str:
    inputs = " ".join(f"{name}=..." for name in contents.inputs)
    row = json.dumps(dict.fromkeys(contents.inputs, "..."))
    commands = (
        "python -m pip install -r requirements.txt\n"
        f"python serve.py {inputs}\n"
        "python serve.py --rows rows.jsonl     # a JSON object a line in, one a line out\n"
        "python serve.py --port 8080           # and then, for instance:\n"
        f"curl http://127.0.0.1:8080/predict -d '{row}'"
    )
    base = contents.base
    text = f"The base model is `{base.id}`, revision `{base.revision}`, "
    if contents.has_base:
        text += "in the form in which the program was made: its files are in `base/`."
    else:
        text += "which is downloaded when it is first needed." + ("" if base.is_copy else _COPY)
    return f"{_block('sh', commands)}\n\n{text}"


def _over_vllm(contents: Contents) -> str:
    base = contents.base
    place = f"base --served-model-name {base.id}" if contents.has_base else f"{base.id} --revision {base.revision}"
    serve = f"vllm serve {place} --generation-config vllm"
    if contents.adapters:
        named = " ".join(f"{name}=adapters/{name}" for name in contents.adapters)
        serve += f" \\\n    --enable-lora --max-lora-rank {contents.rank} --lora-modules {named}"
    inputs = " ".join(f"{name}=..." for name in contents.inputs)
    commands = f"{serve}\npython serve.py --vllm http://localhost:8000/v1 {inputs}"
    text = "This needs vLLM 0.32 or newer, since `serve.py` asks it for the log-probabilities of chosen tokens."
    if contents.has_manifest:
        text += f" `{MANIFEST_FILE}` lets KServe serve the same on Kubernetes; it has not been tried on a cluster."
    return f"{_block('sh', commands)}\n\n{text}"


def _parts(contents: Contents) -> str:
    code = (
        "from program import make_program, make_adapter\n\n"
        "program = make_program()\n"
        'program.load("state.json")            # instructions and demonstrations, on any LM of DSPy'
    )
    if contents.adapters:
        code += (
            "\n\nfrom peft import AutoPeftModelForCausalLM\n\n"
            f'model = AutoPeftModelForCausalLM.from_pretrained("adapters/{contents.adapters[0]}")'
        )
    return (
        f"{_block('python', code)}\n\nThe folder holds no pickle. `program.save(FOLDER, save_program=True)` makes one"
        " for `dspy.load`, which then runs whatever it contains."
    )


def _prompts(contents: Contents) -> str:
    text = (
        f"`{contents.format}` writes the messages, and the base model's chat template makes one text of them, up to"
        " where the answer begins (`add_generation_prompt=True`). An answer of fixed labels is not written by the LM:"
        " the label is chosen by the probabilities of the labels' tokens, less the label prior. Any other answer is"
        " decoded with"
        f" {_sampling(contents.settings['sampling'])}. The messages of each predictor:"
    )
    blocks = [
        f"`{name}`, {_predictor(contents.settings['predictors'][name])}:\n\n{_block('text', _written(messages))}"
        for name, messages in contents.prompts.items()
    ]
    return "\n\n".join([text, *blocks])


def _sampling(sampling: Mapping[str, Any]) -> str:
    stop = f", and the strings {json.dumps(sampling['stop'], ensure_ascii=False)} end it" if sampling["stop"] else ""
    return f"temperature {sampling['temperature']:g} and at most {sampling['max_tokens']} tokens{stop}"


def _predictor(own: Mapping[str, Any]) -> str:
    weights = f"on adapter `{own['adapter']}`" if own["adapter"] else "on the base model alone"
    labels = f", answers {json.dumps(own['labels'], ensure_ascii=False)}" if own["labels"] else ""
    return weights + labels


def _written(messages: Sequence[Message]) -> str:
    return "\n".join(f"[{message.role}]\n{message.content}" for message in messages)


def _block(language: str, text: str) -> str:
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
