"""The engine that runs vLLM's offline engine, on GPUs, or with its CPU build, as the tests do.

vLLM chooses the sizes of batches, keeps prefixes and switches adapters row by row. Its model runs in a process of its
own; `close` ends that process, which gives all its memory back.
"""

import os
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bt_core.config import EngineConfig
from bt_core.engine.adapter_check import check_base, check_rank
from bt_core.engine.base import EngineAdapter
from bt_core.engine.model_memory import bytes_per_token, check_memory, free_memory, memory_need
from bt_core.engine.tokens.sampling import sample_seed
from bt_core.engine.tokens.token_engine import Ask, Reply, TokenEngine
from bt_core.engine.tokens.vocabulary import Vocabulary
from bt_core.errors import ConfigError, EngineError, first_line
from bt_core.models import BaseModel

#: Environment variables that vLLM reads when it is imported: log errors only, send no usage data, use all CPU cores.
ENVIRONMENT = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}
#: The LoRA ranks for which vLLM can reserve room (`MaxLoRARanks`, vllm 0.32).
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
#: How many adapters one batch may hold; requests with further ones wait for the next batch.
ADAPTERS = 4
#: Bytes of a number in each number format.
WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}


class VllmEngine(TokenEngine):
    """`bt_core.engine.base.Engine` over vLLM's offline engine. Not safe to call from two threads at once.

    Args:
        model: the base model.
        settings: `dtype`, `tensor_parallel`, `gpu_memory` and `context` are used.
        lora_rank: the highest rank of an adapter for which to reserve room.

    Raises:
        ModelError: when the model cannot be loaded, or does not fit the memory.
        ConfigError: when vLLM is not installed.
        EngineError: when vLLM does not start.
    """

    def __init__(self, model: BaseModel, settings: EngineConfig, lora_rank: int) -> None:
        vocabulary = Vocabulary.load(model)
        context = min(vocabulary.context_length, settings.context or vocabulary.context_length)
        super().__init__(replace(vocabulary, context_length=context))
        self.base = model
        self.rank = next((rank for rank in RANKS if rank >= lora_rank), RANKS[-1])
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self._llm = _load(model, settings, context, self.rank)
        self._shutdown = weakref.finalize(self, self._llm.llm_engine.engine_core.shutdown)
        self._adapters: dict[str, Any] = {}

    def close(self) -> None:
        """End vLLM's process, which gives all its memory back."""
        self._shutdown()

    def run(self, asks: Sequence[Ask]) -> list[Reply]:
        from vllm.v1.engine.exceptions import EngineDeadError

        prompts = [{"prompt_token_ids": list(ask.tokens)} for ask in asks]
        adapters = [self._adapter(ask.adapter) for ask in asks]
        ends = sorted(self.vocabulary.ends)
        sampling = [_sampling(ask, ends) for ask in asks]
        try:
            outputs = self._llm.generate(prompts, sampling, lora_request=adapters, use_tqdm=False)
        except (RuntimeError, ValueError, EngineDeadError) as error:
            raise EngineError(
                f"vLLM failed on {len(asks)} prompts ({first_line(error)}): see its output above."
            ) from error
        return [_reply(ask, output) for ask, output in zip(asks, outputs, strict=True)]

    def _adapter(self, adapter: EngineAdapter | None) -> Any:
        """vLLM's handle of the adapter, which is loaded when it is first needed."""
        if adapter is None:
            return None
        if adapter.sha256 not in self._adapters:
            from vllm.lora.request import LoRARequest

            check_base(adapter, self.base)
            check_rank(adapter, self.rank)
            handle = LoRARequest(adapter.sha256[:16], len(self._adapters) + 1, str(adapter.path.resolve()))
            try:
                self._llm.llm_engine.add_lora(handle)
            except Exception as error:  # vLLM raises nothing narrower for a call to its own process
                raise EngineError(
                    f"vLLM cannot load the adapter {adapter.path} ({first_line(error)}): train it again."
                ) from None
            self._adapters[adapter.sha256] = handle
        return self._adapters[adapter.sha256]


def _load(model: BaseModel, settings: EngineConfig, context: int, rank: int) -> Any:
    try:
        from vllm import LLM
        from vllm.platforms import current_platform
    except ImportError as error:
        raise ConfigError(
            f"`engine.kind` is vllm, but vLLM cannot be imported here ({error}): install it as docs/vllm.md says."
        ) from None
    dtype, memory_settings = _memory_settings(model, settings, context, current_platform)
    try:
        return LLM(
            model=str(model.path),
            dtype=dtype,
            tensor_parallel_size=settings.tensor_parallel,
            max_model_len=context,
            enable_prefix_caching=True,
            enable_lora=True,
            max_lora_rank=rank,
            max_loras=ADAPTERS,
            generation_config="vllm",  # else the model's own file decides what a request leaves out
            disable_log_stats=True,
            **memory_settings,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise EngineError(
            f"vLLM cannot run the model {model.id} ({first_line(error)}): see its output above."
        ) from error


def _memory_settings(
    model: BaseModel, settings: EngineConfig, context: int, platform: Any
) -> tuple[str, dict[str, Any]]:
    """The number format and vLLM's settings for memory; a model that does not fit the memory is refused.

    Raises:
        ModelError: when it does not fit.
    """
    if platform.is_cpu():
        dtype: str = "float32" if settings.dtype == "auto" else settings.dtype
        tokens = max(context, settings.batch_tokens + settings.prefix_tokens) + 1024
        free, device, remedy = free_memory(), "this machine", "choose a smaller model, or lower `engine.context`"
        keys_values = bytes_per_token(model, WIDTHS[dtype]) * tokens
        memory_settings: dict[str, Any] = {
            "kv_cache_memory_bytes": keys_values,
            "block_size": 32,
            "enforce_eager": True,
        }
    else:
        native = "bfloat16" if platform.has_device_capability(80) else "float16"
        dtype = native if settings.dtype == "auto" else settings.dtype
        tokens = context
        free = int(platform.get_device_total_memory() * settings.gpu_memory) * settings.tensor_parallel
        device = f"`engine.gpu_memory` ({settings.gpu_memory:g}) of {settings.tensor_parallel} GPU(s)"
        remedy = "choose a smaller model or a larger GPU, raise `engine.tensor_parallel`, or lower `engine.context`"
        memory_settings = {"gpu_memory_utilization": settings.gpu_memory}
    check_memory(model, memory_need(model, WIDTHS[dtype], tokens), free, device, remedy)
    return dtype, memory_settings


def _sampling(ask: Ask, ends: list[int]) -> Any:
    from vllm import SamplingParams

    if ask.scored:
        return SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=list(ask.scored), detokenize=False)
    sampling = ask.sampling
    return SamplingParams(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sample_seed(sampling.seed, ask.tokens) if sampling.temperature else None,
        stop=list(sampling.stop),
        stop_token_ids=ends,
    )


def _reply(ask: Ask, output: Any) -> Reply:
    cached, answer = output.num_cached_tokens or 0, output.outputs[0]
    if ask.scored:
        logprobs = answer.logprobs[0]
        return Reply(logprobs={token: float(logprobs[token].logprob) for token in ask.scored}, cached=cached)
    return Reply(tuple(answer.token_ids), cached=cached)
