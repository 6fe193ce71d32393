"""Answer prompts with llama-cpp-python, in any Python that has it. This file imports nothing of the project.

    python llama_worker.py MODEL.gguf THREADS CONTEXT

Reads a JSON list of [token ids, new tokens] a line, writes {"answers": [...], "seconds": s} a line.
"""

import json
import sys
import time
from typing import Any

from llama_cpp import Llama


def main() -> None:
    """Serve until stdin closes. llama.cpp keeps the cache of the last prompt, so a shared prefix is computed once."""
    path, threads, context = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    model = Llama(path, n_ctx=context, n_threads=threads, n_threads_batch=threads, verbose=False)
    print("{}", flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        answers = [_answer(model, tokens, new) for tokens, new in json.loads(line)]
        print(json.dumps({"answers": answers, "seconds": time.perf_counter() - started}), flush=True)


def _answer(model: Any, tokens: list[int], new: int) -> str:
    completion = model.create_completion(tokens, max_tokens=new, temperature=0.0)
    return str(completion["choices"][0]["text"]).strip()


if __name__ == "__main__":
    main()
