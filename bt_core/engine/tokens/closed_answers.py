"""The answer to a request with labels, from the log-probabilities of the labels; the same for every engine."""

import math
from collections.abc import Sequence

import torch

from bt_core.engine.base import Completion, Request
from bt_core.engine.tokens.sampling import NO_NUMBERS, pick
from bt_core.engine.tokens.token_tree import TokenTree, choose
from bt_core.errors import EngineError


def label_completion(
    request: Request,
    prompt_tokens: int,
    tree: TokenTree,
    logprobs: Sequence[float],
    generator: torch.Generator | None,
) -> Completion:
    """Choose the best label, or draw one where the request samples.

    Args:
        request: the request, with labels and perhaps their prior.
        prompt_tokens: how many tokens its prompt has.
        tree: the token tree of its labels.
        logprobs: the log-probability of each label in nats, normalised over the labels.
        generator: draws the sample; None: the best label is taken.

    Raises:
        EngineError: when a label has no probability, since the model's logits were not numbers.
    """
    if not all(map(math.isfinite, logprobs)):
        raise EngineError(NO_NUMBERS)
    prior = request.label_prior or (0.0,) * len(request.labels)
    if generator is not None:
        scores = torch.tensor([score - bias for score, bias in zip(logprobs, prior, strict=True)])
        best = pick(scores, request.sampling, generator)
    else:
        best = choose(logprobs, prior, tree.walk if request.walk else None)
    return Completion(request.labels[best], prompt_tokens, 0, tuple(logprobs), ended="stop")
