"""llama-cpp-python as a contestant: a separate process, in any Python that has the package."""

import argparse
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.contestants.plain import answer_tokens
from bt_core.engine.base import Request
from bt_core.engine.local.transformers_engine import TransformersEngine

WORKER = Path(__file__).with_name("llama_worker.py")
ABSENT = "llama-cpp-python is not installed"


class LlamaCpp:
    """Serves the embedded model's own GGUF, one request at a time, with our prompts, token by token."""

    def __init__(self, worker: subprocess.Popen[str], engine: TransformersEngine) -> None:
        self.worker, self.engine = worker, engine
        self._ask("")  # ready once the model is loaded

    def answer(self, requests: Sequence[Request]) -> list[str]:
        """The answers in order; a closed question is answered freely with the tokens of its longest label."""
        work = [[self.engine.render(one), answer_tokens(self.engine.tokenizer, one)] for one in requests]
        answers: list[str] = self._ask(json.dumps(work))["answers"]
        return answers

    def _ask(self, line: str) -> dict[str, list[str]]:
        assert self.worker.stdin is not None
        assert self.worker.stdout is not None
        if line:
            self.worker.stdin.write(line + "\n")
            self.worker.stdin.flush()
        answer = self.worker.stdout.readline()
        if not answer:
            raise SystemExit("benchmarks.engine: the llama.cpp process ended; try llama_worker.py by hand.")
        found: dict[str, list[str]] = json.loads(answer)
        return found


def add_llama_options(parser: argparse.ArgumentParser) -> None:
    """`--gguf` and `--llama-python`."""
    parser.add_argument("--gguf", type=Path, help="the model as a GGUF file, for llama-cpp-python")
    parser.add_argument("--llama-python", default=sys.executable, help="the Python that has llama-cpp-python")


@contextmanager
def llama_cpp(options: argparse.Namespace, engine: TransformersEngine, context: int) -> Iterator[LlamaCpp | str]:
    """The contestant, or the sentence that says why there is none."""
    reason = _absent(options)
    if reason:
        yield reason
        return
    command = [options.llama_python, str(WORKER), str(options.gguf), str(torch.get_num_threads()), str(context)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as worker:
        yield LlamaCpp(worker, engine)  # leaving the block closes its stdin, and the process ends


def _absent(options: argparse.Namespace) -> str:
    if options.llama_python == sys.executable:
        has = importlib.util.find_spec("llama_cpp") is not None
    else:
        probe = [options.llama_python, "-c", "import llama_cpp"]
        has = subprocess.run(probe, capture_output=True, check=False).returncode == 0
    if not has:
        return ABSENT
    return "" if options.gguf else "llama-cpp-python is installed, but no model was given (--gguf FILE)"
