"""What vLLM's `/completions` is asked for token ids, as the body of a request."""

from collections.abc import Collection
from typing import Any

from bt_core.engine.tokens.sampling import sample_seed
from bt_core.engine.tokens.token_engine import Ask


def completions_body(model: str, ask: Ask, ends: Collection[int]) -> dict[str, Any]:
    """The body for one sequence.

    Args:
        model: the name by which the server knows the base model or the adapter.
        ask: the sequence.
        ends: the tokens that end an answer.
    """
    body: dict[str, Any] = {"model": model, "prompt": list(ask.tokens)}
    if ask.scored:
        scored = {"logprob_token_ids": list(ask.scored), "return_tokens_as_token_ids": True}
        return body | scored | {"max_tokens": 1, "temperature": 0.0, "logprobs": len(ask.scored)}
    sampling = ask.sampling
    return body | {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sample_seed(sampling.seed, ask.tokens) if sampling.temperature else None,
        "stop": list(sampling.stop),
        "stop_token_ids": sorted(ends),
        "return_token_ids": True,
        # Where a request leaves these out, the server takes them from the model's generation_config.json.
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
    }


def token_name(token: int) -> str:
    """How an answer names a token whose log-probability was asked for."""
    return f"token_id:{token}"
