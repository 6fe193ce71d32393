"""Seeded grids of requests like those of a prompt search, candidates by examples, made of the continents' cities."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bt_core.engine.base import Message, Request, Sampling
from bt_core.records import Row
from bt_tasks.continents import CONTINENTS, cities

LABELS = tuple(CONTINENTS.values())
INSTRUCTIONS = (
    "Name the continent that the city lies on. Answer with the name alone.",
    "Say on which continent this city is to be found, in one or two words.",
    "You know geography well: give the continent of the city that you are shown.",
    "On which of the five continents does the city lie? Give its name and nothing else.",
)


@dataclass(frozen=True)
class Source:
    """The material of the requests: a tokenizer that measures them, and the cities, read once."""

    tokenizer: Any
    places: list[Row] = field(default_factory=cities)

    def length(self, messages: Sequence[Message]) -> int:
        """The number of tokens in a chat."""
        chat = [{"role": message.role, "content": message.content} for message in messages]
        text = self.tokenizer.apply_chat_template(chat, tokenize=False)
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def grid(
    source: Source, seed: str, candidates: int, examples: int, prefix_tokens: int, labels: bool, new_tokens: int = 8
) -> list[Request]:
    """Requests for every candidate on every example, as a search makes them.

    Args:
        source: the tokenizer and the cities.
        seed: another seed gives other cities, so that nothing of an earlier grid can be reused.
        candidates: number of candidates, each with another instruction and other demonstrations.
        examples: number of cities to ask about, of about twenty tokens each.
        prefix_tokens: least number of tokens in instruction and demonstrations.
        labels: whether the answer is one of the five continents; otherwise it is free text.
        new_tokens: number of tokens in a free answer.
    """
    rng = random.Random(f"grid:{seed}")
    places = rng.sample(source.places, min(len(source.places), 40 * candidates + examples))
    asked, shown = places[:examples], places[examples:]
    return [
        _request((*prefix, _question(place)), labels, new_tokens)
        for prefix in (_prefix(source, rng, number, shown, prefix_tokens) for number in range(candidates))
        for place in asked
    ]


def unshared(source: Source, seed: str, count: int, tokens: int) -> list[Request]:
    """Closed questions whose prompts differ from the first word on, so that prefill is all the work."""
    rng = random.Random(f"unshared:{seed}")
    requests = []
    for number in range(count):
        places = rng.sample(source.places, 60)
        system, *demos = _prefix(source, rng, number, places, tokens)
        first = Message("system", f"{places[-1]['city']} {number}: {system.content}")
        requests.append(_request((first, *demos, _question(places[-2])), True, 0))
    return requests


def _prefix(source: Source, rng: random.Random, number: int, places: Sequence[Row], tokens: int) -> tuple[Message, ...]:
    messages = [Message("system", INSTRUCTIONS[number % len(INSTRUCTIONS)])]
    for place in rng.sample(list(places), len(places)):
        if source.length(messages) >= tokens:
            break
        messages += [_question(place), Message("assistant", place["continent"])]
    return tuple(messages)


def _question(place: Row) -> Message:
    return Message("user", f"City: {place['city']}\nKind: large")


def _request(messages: tuple[Message, ...], labels: bool, new_tokens: int) -> Request:
    if labels:
        return Request(messages, labels=LABELS)
    return Request(messages, sampling=Sampling(max_tokens=new_tokens))
