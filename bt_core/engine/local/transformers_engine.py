"""The engine that runs a Hugging Face model in this process, on CPU or CUDA.

The base model is loaded once; LoRA adapters are switched on and off, never merged. Requests that share a prefix
compute it once (`grouping`, `attention`), closed answers need no decoding (`token_tree`), and logits are computed only
at positions that need a token.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.conversion_mapping import get_checkpoint_conversion_mapping
from transformers.utils.logging import disable_progress_bar

from bt_core.config import EngineConfig
from bt_core.engine.adapter_check import check_base
from bt_core.engine.base import (
    BaseEngine,
    Completion,
    EngineAdapter,
    PartlyAnswered,
    Request,
    Sampling,
    Tokens,
    usage_of,
)
from bt_core.engine.cpu.gated_mlp import gate_in_place
from bt_core.engine.cpu.last_layer import compute_where_needed
from bt_core.engine.cpu.onednn_linear import multiply_by_onednn
from bt_core.engine.local import attention
from bt_core.engine.local.decoding import decode
from bt_core.engine.local.drafts import Drafts
from bt_core.engine.local.forward import Batch
from bt_core.engine.local.schedule import Finish, Scheduler
from bt_core.engine.model_memory import check_memory, free_memory, memory_need
from bt_core.engine.tokens.closed_answers import label_completion
from bt_core.engine.tokens.sampling import Stopper, generators
from bt_core.engine.tokens.token_tree import TokenTree, normalised
from bt_core.engine.tokens.vocabulary import Vocabulary
from bt_core.errors import EngineError, ModelError, first_line
from bt_core.models import BaseModel
from bt_core.records import Usage

Key = tuple[Request, Tokens]
"""A request and its prompt's tokens; as the key of equal requests, the request has no messages."""


def prepare() -> None:
    """Let transformers do now what it otherwise does when a process loads its first model, whichever that is."""
    get_checkpoint_conversion_mapping("llama")


def load_base(model: BaseModel, settings: EngineConfig, attention_name: str | None = None) -> tuple[Any, Any]:
    """Load the base model, frozen and in evaluation mode, and its tokenizer.

    Args:
        model: the base model.
        settings: `device`, `dtype` and `prefix_tokens` are used.
        attention_name: our attention's name, for a model that only answers; None: transformers' own, for training.

    Raises:
        ModelError: when the model does not fit the memory, transformers cannot load the folder, or the tokenizer has no
            chat template.
    """
    device = settings.device if settings.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    # On CPU float32 is the safe default: bfloat16 is slower where the processor has no AMX or AVX512-BF16.
    native = torch.bfloat16 if device == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    dtype = native if settings.dtype == "auto" else getattr(torch, settings.dtype)
    _check_memory(model, settings, device, dtype)
    disable_progress_bar()  # a step shows its progress in examples, not in tensors
    try:
        tokenizer = AutoTokenizer.from_pretrained(model.path, trust_remote_code=False)
        loaded = AutoModelForCausalLM.from_pretrained(model.path, dtype=dtype, trust_remote_code=False)
        if attention_name and attention.supports(loaded.config):
            attention.register()
            loaded.set_attn_implementation(attention_name)
        loaded.to(device)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"The model {model.id} at {model.path} cannot be loaded ({first_line(error)}): check the folder."
        ) from None
    loaded.eval().requires_grad_(False)
    multiply_by_onednn(loaded, lay_out=attention_name is not None)
    if attention_name and device == "cpu":
        gate_in_place(loaded)
        compute_where_needed(loaded)
    # Otherwise a slice, such as the last position of each row [B, 1, H], is multiplied by the vocabulary row by row.
    loaded.get_output_embeddings().register_forward_pre_hook(lambda module, inputs: (inputs[0].contiguous(),))
    return loaded, tokenizer


def _check_memory(model: BaseModel, settings: EngineConfig, device: str, dtype: torch.dtype) -> None:
    """Refuse a model that is too big before it is loaded."""
    needed = memory_need(model, dtype.itemsize, settings.prefix_tokens)
    if device == "cpu":
        check_memory(model, needed, free_memory(), "this machine", "choose a smaller model, or use a larger machine")
    else:
        check_memory(model, needed, torch.cuda.mem_get_info()[0], "the GPU", "choose a smaller model or a larger GPU")


class TransformersEngine(BaseEngine):
    """`bt_core.engine.base.Engine` over one transformers model. Not safe to call from two threads at once."""

    def __init__(self, model: BaseModel, settings: EngineConfig) -> None:
        self.settings, self.base = settings, model
        self.model, self.tokenizer = load_base(model, settings, attention.ATTENTION)
        ends = self.model.generation_config.eos_token_id
        self.vocabulary = Vocabulary.of(model, self.tokenizer, self.model.config, ends)
        self._scheduler = Scheduler(self.model, self.vocabulary.template.pad, settings)
        self._drafts = Drafts()
        self.usage = Usage()
        self._peft: Any = None
        self._loaded: set[str] = set()

    def render(self, request: Request) -> Tokens:
        """The prompt's tokens by the model's chat template, up to the point where the assistant's answer begins."""
        return self.vocabulary.render(request.messages)

    def forget(self) -> None:
        """Drop the prefixes and answers of earlier batches; what is computed with their help differs by rounding."""
        self._scheduler.forget()
        self._drafts.clear()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests in order; equal requests are computed once.

        Raises:
            PartlyAnswered: when the model itself fails (not even one row fits the memory, or an adapter is damaged).
        """
        started = time.perf_counter()
        prompts = [self.render(request) for request in requests]
        keys: list[Key] = [(replace(one, messages=()), prompt) for one, prompt in zip(requests, prompts, strict=True)]
        distinct = dict(zip(keys, requests, strict=True))
        answers: dict[Key, Completion] = {}
        buckets: dict[tuple[Any, ...], list[Key]] = {}
        for key, request in distinct.items():
            misfit = self.vocabulary.misfit(request, key[1])
            if misfit:
                answers[key] = Completion("", len(key[1]), error=misfit)
                continue
            adapter = request.adapter.sha256 if request.adapter else ""
            buckets.setdefault((adapter, request.labels, request.sampling, request.whole), []).append(key)
        try:
            with torch.inference_mode():
                for (_, labels, sampling, whole), bucket in sorted(buckets.items(), key=lambda item: repr(item[0])):
                    with self._adapter(bucket[0][0].adapter):
                        run = self._decode if not labels else self._score_whole if whole else self._score
                        computed = run([(distinct[key], key[1]) for key in bucket], sampling)
                        answers.update(zip(bucket, computed, strict=True))
        except EngineError as error:
            raise PartlyAnswered(str(error), [answers.get(key) for key in keys]) from error
        except RuntimeError as error:  # torch raises nothing narrower, not even where memory runs out
            raise PartlyAnswered(
                f"The model failed on a batch of {len(distinct)} prompts ({first_line(error)}): lower"
                f" `engine.batch_tokens` (now {self.settings.batch_tokens}) if memory ran out.",
                [answers.get(key) for key in keys],
            ) from error
        completions = [answers[key] for key in keys]
        self.usage += usage_of(completions)
        self.usage += Usage(seconds=time.perf_counter() - started)
        return completions

    def _decode(self, keys: Sequence[Key], sampling: Sampling) -> list[Completion]:
        prompts = [prompt for _, prompt in keys]
        questions = [request.messages[-1].content for request, _ in keys]
        stopper = Stopper(self.tokenizer, self.vocabulary.ends, sampling.stop)
        new_tokens: dict[int, Tokens] = {}

        def finish(rows: list[int], batch: Batch) -> None:
            def guess(row: int, answer: Tokens) -> Tokens:
                return self._drafts.guess(questions[rows[row]], prompts[rows[row]], answer)

            new = decode(batch, sampling, [prompts[row] for row in rows], stopper, guess)
            new_tokens.update(zip(rows, new, strict=True))

        self._run(keys, prompts, sampling.max_tokens, finish)
        for row, question in enumerate(questions):
            self._drafts.learn(question, new_tokens[row])
        return [
            Completion(
                stopper.text(new_tokens[row]),
                len(prompt),
                len(new_tokens[row]),
                ended=stopper.why(new_tokens[row], sampling.max_tokens),
            )
            for row, prompt in enumerate(prompts)
        ]

    def _score(self, keys: Sequence[Key], sampling: Sampling) -> list[Completion]:
        tree = self.vocabulary.tree(keys[0][0].labels)
        branches = tree.branches()
        # One row for each prompt and branching node; for most label sets the root is the only such node.
        nodes = [(index, path) for index in range(len(keys)) for path in branches]
        sequences = [keys[index][1] + path for index, path in nodes]
        logits: list[dict[tuple[int, ...], dict[int, float]]] = [{} for _ in keys]

        def finish(rows: list[int], batch: Batch) -> None:
            for position, row in enumerate(rows):
                index, path = nodes[row]
                possible = branches[path]
                at_path = batch.logits[position, -1, list(possible)].tolist()
                logits[index][path] = dict(zip(possible, at_path, strict=True))

        self._run(keys, sequences, 0, finish)
        return _labelled(keys, sampling, tree, [tree.label_logprobs(at) for at in logits])

    def _score_whole(self, keys: Sequence[Key], sampling: Sampling) -> list[Completion]:
        tree = self.vocabulary.tree(keys[0][0].labels)
        # One row for each prompt and label, which holds all tokens but the last: the end token needs no pass.
        sequences = [prompt + label[:-1] for _, prompt in keys for label in tree.labels]
        tails = [len(label) for _ in keys for label in tree.labels]
        scores = [0.0] * len(sequences)

        def finish(rows: list[int], batch: Batch) -> None:
            for position, row in enumerate(rows):
                label = torch.tensor(tree.labels[row % len(tree.labels)], device=batch.logits.device)
                logits = batch.logits[position, -len(label) :]
                chosen = logits.gather(1, label[:, None])[:, 0] - logits.logsumexp(1)
                scores[row] = float(chosen.double().sum())

        self._run(keys, sequences, 0, finish, tails)
        each = len(tree.labels)
        own = [normalised(scores[first : first + each]) for first in range(0, len(scores), each)]
        return _labelled(keys, sampling, tree, own)

    def _run(
        self,
        keys: Sequence[Key],
        sequences: Sequence[Tokens],
        extra: int,
        finish: Finish,
        tails: Sequence[int] | None = None,
    ) -> None:
        adapter, before = keys[0][0].adapter, self._scheduler.computed
        self._scheduler.run(adapter.sha256 if adapter else "", sequences, extra, finish, tails)
        self.usage += Usage(computed_prompt_tokens=self._scheduler.computed - before)

    @contextmanager
    def _adapter(self, adapter: EngineAdapter | None) -> Iterator[None]:
        """Switch the adapter on for the block; None: the base model alone answers."""
        if adapter is None:
            with self._peft.disable_adapter() if self._peft is not None else nullcontext():
                yield
            return
        name = adapter.sha256[:16]
        if name not in self._loaded:
            self._load_adapter(adapter, name)
        self._peft.set_adapter(name)
        yield

    def _load_adapter(self, adapter: EngineAdapter, name: str) -> None:
        from peft import PeftModel

        check_base(adapter, self.base)
        try:
            if self._peft is None:
                self._peft = PeftModel.from_pretrained(self.model, str(adapter.path), adapter_name=name)
            else:
                self._peft.load_adapter(str(adapter.path), adapter_name=name)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise EngineError(
                f"The adapter {adapter.path} does not load on this base model ({first_line(error)}): use the"
                " model that it was trained on, or train the adapter again."
            ) from None
        self._peft.eval().requires_grad_(False)
        self._loaded.add(name)


def _labelled(
    keys: Sequence[Key], sampling: Sampling, tree: TokenTree, logprobs: Sequence[Sequence[float]]
) -> list[Completion]:
    samplers = generators(sampling, [prompt for _, prompt in keys])
    return [
        label_completion(request, len(prompt), tree, own, sampler)
        for (request, prompt), own, sampler in zip(keys, logprobs, samplers, strict=True)
    ]
