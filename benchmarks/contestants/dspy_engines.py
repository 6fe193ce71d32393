"""Two engines for DSPy's own optimisers: the one that a user would write first, and the fastest available one."""

import threading
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import torch
from peft import PeftModel
from transformers import StoppingCriteria

from benchmarks.contestants.dspy_bridge import DspyEngine, Tuner
from benchmarks.harness.models import plain_model
from bt_core.config import Config
from bt_core.engine.base import Completion, EngineAdapter, Request
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.tokens.token_tree import TokenTree, choose
from bt_core.models import BaseModel
from bt_core.records import Usage
from bt_core.task import Task

#: Seconds that the batching engine waits for a further request before it answers those that it has.
WINDOW_SECONDS = 0.02


class PerRequestEngine(DspyEngine):
    """The engine that a user would write first: each call runs one prompt through transformers, one at a time.

    A closed answer is the label with the highest log-probability among the labels: the prompt runs once, then all
    labels as one batch behind its cache.
    """

    def __init__(self, task: Task, config: Config, tuner: Tuner, base: BaseModel) -> None:
        super().__init__(task, config, tuner)
        self.model, self.tokenizer = plain_model(base, config.engine)
        self._peft: Any = None
        self._spent = Usage()
        self._turn = threading.Lock()

    @property
    def usage(self) -> Usage:
        """The usage so far; every prompt token that was asked for was also computed."""
        return self._spent

    def close(self) -> None:
        """Do nothing: the engine has started no thread."""

    def answer(self, request: Request) -> Completion:
        """Run the prompt through the model."""
        chat = [{"role": message.role, "content": message.content} for message in request.messages]
        text = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        inputs = self.tokenizer(text, return_tensors="pt", add_special_tokens=False).to(self.model.device)
        count = inputs["input_ids"].shape[1]
        with self._turn, torch.inference_mode():
            model = self._weights(request.adapter)
            text, new = self._choose(model, inputs, request) if request.labels else self._decode(model, inputs, request)
            self._spent += Usage(1, 0, count, count, new)
        return Completion(text, count, new)

    def _weights(self, adapter: EngineAdapter | None) -> Any:
        if self._peft is None:
            if adapter is None:
                return self.model
            self._peft = PeftModel.from_pretrained(self.model, str(adapter.path), adapter_name=adapter.sha256[:16])
        if adapter is None:
            self._peft.base_model.disable_adapter_layers()
            return self._peft
        self._peft.base_model.enable_adapter_layers()
        if adapter.sha256[:16] not in self._peft.peft_config:
            self._peft.load_adapter(str(adapter.path), adapter_name=adapter.sha256[:16])
        self._peft.set_adapter(adapter.sha256[:16])
        return self._peft.eval()

    def _decode(self, model: Any, inputs: Any, request: Request) -> tuple[str, int]:
        start = inputs["input_ids"].shape[1]
        output = model.generate(
            **inputs,
            max_new_tokens=request.sampling.max_tokens,
            do_sample=False,
            pad_token_id=self.tokenizer.eos_token_id,
            stopping_criteria=[_Stop(self.tokenizer, start, request.sampling.stop)],
        )
        new = output[0, start:]
        text = self.tokenizer.decode(new, skip_special_tokens=True)
        for stop in request.sampling.stop:
            text = text.partition(stop)[0]
        return text, len(new)

    def _choose(self, model: Any, inputs: Any, request: Request) -> tuple[str, int]:
        tree = TokenTree.build(
            [self.tokenizer(label, add_special_tokens=False)["input_ids"] for label in request.labels],
            self.tokenizer.eos_token_id,
        )
        prompt = model(**inputs, use_cache=True, logits_to_keep=1)
        cache = prompt.past_key_values
        cache.batch_repeat_interleave(len(tree.labels))
        width = max(map(len, tree.labels)) - 1
        ids = [(label[:-1] + label[-1:] * width)[:width] for label in tree.labels]
        rest = model(input_ids=torch.tensor(ids, device=self.model.device), past_key_values=cache, use_cache=True)
        seen = {
            label[: place + 1]: row
            for label, logits in zip(tree.labels, rest.logits, strict=True)
            for place, row in enumerate(logits)
        }
        seen[()] = prompt.logits[0, -1]
        found = {
            path: {token: float(seen[path][token]) for token in tokens} for path, tokens in tree.branches().items()
        }
        return request.labels[choose(tree.label_logprobs(found), ())], 0


@dataclass(frozen=True)
class _Stop(StoppingCriteria):
    """Ends at a stop string. `generate(stop_strings=...)` would search the vocabulary for 0.2 s in every call."""

    tokenizer: Any
    start: int
    stops: tuple[str, ...]

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        text = self.tokenizer.decode(ids[0, self.start :])
        return torch.tensor([any(stop in text for stop in self.stops)] * len(ids), device=ids.device)


class BatchingEngine(DspyEngine):
    """This project's engine behind a micro-batcher: requests that arrive within a short time form a batch."""

    def __init__(self, task: Task, config: Config, tuner: Tuner, engine: TransformersEngine) -> None:
        super().__init__(task, config, tuner)
        self.engine = engine
        self._asked: SimpleQueue[tuple[Request, Future[Completion]] | None] = SimpleQueue()
        self._worker = threading.Thread(target=self._serve, daemon=True)
        self._worker.start()

    @property
    def usage(self) -> Usage:
        """The usage, as the engine counts it."""
        return self.engine.usage

    def answer(self, request: Request) -> Completion:
        """Wait for the answer of the batch that this request belongs to."""
        future: Future[Completion] = Future()
        self._asked.put((request, future))
        return future.result()

    def close(self) -> None:
        """End the worker thread."""
        self._asked.put(None)
        self._worker.join()

    def _serve(self) -> None:
        while (first := self._asked.get()) is not None:
            batch = [first]
            while (more := self._next()) is not None:
                batch.append(more)
            try:
                completions = self.engine.generate([request for request, _ in batch])
            except Exception as error:
                for _, future in batch:
                    future.set_exception(error)
                continue
            for (_, future), completion in zip(batch, completions, strict=True):
                future.set_result(completion)

    def _next(self) -> tuple[Request, Future[Completion]] | None:
        try:
            return self._asked.get(timeout=WINDOW_SECONDS)
        except Empty:
            return None
