"""What engines that take token ids have in common: from requests to sequences to run, and from replies to completions.

For a closed answer, one sequence is run for each prompt and branch of the labels' token tree (each node, for whole
scoring), to get the log-probabilities of the tokens that are possible there. At a branch these are the logits that the
transformers engine reads, less a constant for each branch, so both engines give a label the same probability.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bt_core.engine.base import (
    BaseEngine,
    Completion,
    Ended,
    EngineAdapter,
    PartlyAnswered,
    Request,
    Sampling,
    Tokens,
    usage_of,
)
from bt_core.engine.tokens.closed_answers import label_completion
from bt_core.engine.tokens.sampling import Stopper, generators
from bt_core.engine.tokens.token_tree import TokenTree
from bt_core.engine.tokens.vocabulary import Vocabulary
from bt_core.records import Usage

Key = tuple[Request, Tokens]
"""A request without its messages, and its prompt's tokens."""

#: Of how many tokens one sequence may ask the log-probability: vLLM's own bound (`MAX_LOGPROB_TOKEN_IDS`, vllm 0.32).
MAX_SCORED = 128


@dataclass(frozen=True)
class Ask:
    """One sequence to run: for an answer, or with `scored` for the probability that each of those tokens comes next."""

    tokens: Tokens
    adapter: EngineAdapter | None
    sampling: Sampling
    scored: Tokens = ()


@dataclass(frozen=True)
class Reply:
    """New tokens (perhaps with an end token), or the log-probability in nats of each scored token.

    `cached` counts the prompt tokens that were not computed again.
    """

    tokens: Tokens = ()
    logprobs: Mapping[int, float] = field(default_factory=dict)
    cached: int = 0


class TokenEngine(BaseEngine, ABC):
    """`bt_core.engine.base.Engine` over a backend that takes token ids and returns their log-probabilities."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.usage = Usage()

    @abstractmethod
    def run(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """Run the sequences, and return the replies in their order.

        Raises:
            PartlyAnswered: when the backend fails after it has given some of the replies.
            EngineError: when it fails in another way.
        """

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests in order; equal requests are computed once.

        Raises:
            PartlyAnswered, EngineError: when the engine itself fails.
        """
        started = time.perf_counter()
        keys = [(replace(request, messages=()), self.vocabulary.render(request.messages)) for request in requests]
        jobs = {key: _Job(*key, self.vocabulary) for key in dict.fromkeys(keys)}
        asks = [ask for job in jobs.values() for ask in job.asks]
        try:
            replies = self.run(asks) if asks else []
        except PartlyAnswered as error:
            given = _answers(jobs, error.answers)
            raise PartlyAnswered(str(error), [given.get(key) for key in keys]) from None
        answers = _answers(jobs, replies)
        completions = [answers[key] for key in keys]
        computed = sum(len(ask.tokens) - reply.cached for ask, reply in zip(asks, replies, strict=True))
        self.usage += usage_of(completions)
        self.usage += Usage(computed_prompt_tokens=computed, seconds=time.perf_counter() - started)
        return completions


def _answers(jobs: Mapping[Key, "_Job"], replies: Sequence[Reply | None]) -> dict[Key, Completion]:
    """The completions of the jobs all of whose replies are there."""
    answers, next_reply = {}, iter(replies)
    for key, job in jobs.items():
        own = [next(next_reply) for _ in job.asks]
        whole = [reply for reply in own if reply is not None]
        if len(whole) == len(own):
            answers[key] = job.completion(whole)
    return answers


class _Job:
    """A request as sequences to run, and the completion from their replies."""

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
        self.vocabulary.check_tokens(tokens)
        if tokens and tokens[-1] in self.vocabulary.ends:
            tokens.pop()
            ended: Ended = "stop"
        else:
            ended = stopper.why(tokens, self.request.sampling.max_tokens)
        return Completion(stopper.text(tokens), len(self.prompt), len(tokens), ended=ended)

    def _free(self) -> Iterator[Ask]:
        yield Ask(self.prompt, self.request.adapter, self.request.sampling)

    def _closed(self, tree: TokenTree) -> Iterator[Ask]:
        nodes = tree.nodes() if self.request.whole else tree.branches()
        for path, possible in nodes.items():
            for first in range(0, len(possible), MAX_SCORED):
                part = possible[first : first + MAX_SCORED]
                yield Ask(self.prompt + path, self.request.adapter, self.request.sampling, part)

    def _label(self, tree: TokenTree, replies: Sequence[Reply]) -> Completion:
        steps: dict[Tokens, dict[int, float]] = {}
        for ask, reply in zip(self.asks, replies, strict=True):
            node = steps.setdefault(ask.tokens[len(self.prompt) :], {})
            node.update({token: reply.logprobs[token] for token in ask.scored})
        logprobs = tree.whole_logprobs(steps) if self.request.whole else tree.label_logprobs(steps)
        (generator,) = generators(self.request.sampling, [self.prompt])
        return label_completion(self.request, len(self.prompt), tree, logprobs, generator)
