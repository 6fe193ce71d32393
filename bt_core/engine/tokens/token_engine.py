"""What an engine that takes token ids shares with every other: requests in, sequences to run, completions out.

A closed answer is one sequence for each prompt and branch of the labels' token tree, of which the log-probabilities
of the tokens possible there are wanted; those are the numbers that the transformers engine reads off its logits, less a
constant for each branch, so that both engines give a label the same probability.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bt_core.engine.base import BaseEngine, Completion, EngineAdapter, Request, Sampling, Tokens, answered
from bt_core.engine.tokens.closed_answers import label_completion
from bt_core.engine.tokens.sampling import Stopper, generators
from bt_core.engine.tokens.token_tree import TokenTree
from bt_core.engine.tokens.vocabulary import Vocabulary
from bt_core.records import Usage

#: Tokens whose log-probability one sequence may ask for: vLLM's own bound (`MAX_LOGPROB_TOKEN_IDS`, vllm 0.32).
MOST_WANTED = 128


@dataclass(frozen=True)
class Ask:
    """One sequence to run. With `wanted`, only how likely each of those tokens comes next, else an answer."""

    tokens: Tokens
    adapter: EngineAdapter | None
    sampling: Sampling
    wanted: Tokens = ()


@dataclass(frozen=True)
class Reply:
    """New tokens (a closing end token may be among them), or token -> log-probability (nats) for each one wanted.

    `cached` prompt tokens were not computed again.
    """

    tokens: Tokens = ()
    logprobs: Mapping[int, float] = field(default_factory=dict)
    cached: int = 0


class TokenEngine(BaseEngine, ABC):
    """`bt_core.engine.base.Engine` over something that takes token ids and gives log-probabilities of chosen tokens."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.usage = Usage()

    @abstractmethod
    def run(self, asks: Sequence[Ask]) -> list[Reply]:
        """Run the sequences; replies in their order.

        Raises:
            EngineError: when the engine itself fails.
        """

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests in order; equal ones are computed once.

        Raises:
            EngineError: when the engine itself fails.
        """
        started = time.perf_counter()
        keys = [(replace(request, messages=()), self.vocabulary.render(request.messages)) for request in requests]
        jobs = {key: _Job(*key, self.vocabulary) for key in dict.fromkeys(keys)}
        asks = [ask for job in jobs.values() for ask in job.asks]
        replies = self.run(asks) if asks else []
        following = iter(replies)
        found = {key: job.completion([next(following) for _ in job.asks]) for key, job in jobs.items()}
        completions = [found[key] for key in keys]
        computed = sum(len(ask.tokens) - reply.cached for ask, reply in zip(asks, replies, strict=True))
        self.usage += answered(completions)
        self.usage += Usage(computed_prompt_tokens=computed, seconds=time.perf_counter() - started)
        return completions


class _Job:
    """A request as sequences to run, and its completion from their replies."""

    def __init__(self, request: Request, prompt: Tokens, vocabulary: Vocabulary) -> None:
        self.request, self.prompt, self.vocabulary = request, prompt, vocabulary
        self.misfit = vocabulary.misfit(request, prompt)
        self.tree = vocabulary.tree(request.labels) if request.labels else None
        self.asks = [] if self.misfit else list(self._closed(self.tree) if self.tree else self._free())

    def completion(self, replies: Sequence[Reply]) -> Completion:
        if self.misfit:
            return Completion("", len(self.prompt), error=self.misfit)
        if self.tree:
            return self._label(self.tree, replies)
        stopper = Stopper(self.vocabulary.tokenizer, self.vocabulary.ends, self.request.sampling.stop)
        tokens = list(replies[0].tokens)
        if tokens and tokens[-1] in self.vocabulary.ends:
            tokens.pop()
        return Completion(stopper.text(tokens), len(self.prompt), len(tokens))

    def _free(self) -> Iterator[Ask]:
        yield Ask(self.prompt, self.request.adapter, self.request.sampling)

    def _closed(self, tree: TokenTree) -> Iterator[Ask]:
        for path, wanted in tree.branches().items():
            for first in range(0, len(wanted), MOST_WANTED):
                part = wanted[first : first + MOST_WANTED]
                yield Ask(self.prompt + path, self.request.adapter, self.request.sampling, part)

    def _label(self, tree: TokenTree, replies: Sequence[Reply]) -> Completion:
        logprobs: dict[Tokens, dict[int, float]] = {}
        for ask, reply in zip(self.asks, replies, strict=True):
            branch = logprobs.setdefault(ask.tokens[len(self.prompt) :], {})
            branch.update({token: reply.logprobs[token] for token in ask.wanted})
        (draw,) = generators(self.request.sampling, [self.prompt])
        return label_completion(self.request, len(self.prompt), tree, logprobs, draw)
