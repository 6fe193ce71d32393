"""Score a grid of prompt candidates: this project's engine against plain transformers and llama.cpp.

    python -m benchmarks.engine
    python -m benchmarks.engine --gguf MODEL.gguf --llama-python VENV/bin/python
    python -m benchmarks.engine --device cuda --dtype bfloat16 --random-model 1B

A search asks every candidate (a long prefix of instruction and demonstrations) about every example (a short
suffix). All contestants answer the same requests, greedily. Each repeat has other cities, so that no cache helps
from one repeat to the next.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.contestants.llama import LlamaCpp, add_llama_options, llama_cpp
from benchmarks.contestants.plain import PlainTransformers
from benchmarks.harness.grids import Source, grid, unshared
from benchmarks.harness.models import add_model_options, open_model, settings
from benchmarks.harness.record import Table, Timed, finish, in_turn, parser, percent, ratios, shown, spread
from benchmarks.limits import Rates, Shape, forward_flops, now
from bt_core.engine.base import Request
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.records import Usage

Requests = Callable[[int], list[Request]]
"""A case: the number of a repeat -> its requests."""
Answer = Callable[[Sequence[Request]], list[str]]
"""A contestant."""

OURS, PLAIN, LLAMA = "ours", "plain", "llama_cpp"


@dataclass
class Ours:
    """This project's engine. `spent` holds the usage of each call."""

    engine: TransformersEngine
    spent: list[Usage] = field(default_factory=list)

    def answer(self, requests: Sequence[Request]) -> list[str]:
        """The answers in order."""
        mark = self.engine.usage
        answers = [completion.text.strip() for completion in self.engine.generate(requests)]
        self.spent.append(self.engine.usage - mark)
        return answers


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every case and print the table."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        base = open_model(options, Path(scratch))
        engine = TransformersEngine(base, settings(options))
        plain = PlainTransformers(base, settings(options))
        with llama_cpp(options, engine, options.prefix_tokens + 200) as llama:
            found = {name: _case(case, engine, plain, llama, options) for name, case in _cases(engine, options).items()}
    absent = llama if isinstance(llama, str) else ""
    result: dict[str, Any] = {"ratios": {name: case["plain_over_ours"] for name, case in found.items()}, "cases": found}
    result |= {"llama_cpp": absent or "measured", "settings": _settings(options)}
    note = f"llama.cpp was not measured: {absent}." if absent else "llama.cpp runs the model's 4-bit weights (Q4_1)."
    finish("engine", options, result, [_speed(found, absent), _share(found)], [note])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    command = parser("engine", "Candidate grids: this engine, plain transformers, llama.cpp.")
    add_model_options(command)
    add_llama_options(command)
    command.add_argument("--candidates", type=int, default=8)
    command.add_argument("--examples", type=int, default=32)
    command.add_argument("--prefix-tokens", type=int, default=290, help="instruction and demonstrations")
    options = command.parse_args(arguments)
    if options.quick:
        options.repeats, options.candidates, options.examples, options.prefix_tokens = 1, 2, 8, 120
    return options


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    names = ("candidates", "examples", "prefix_tokens", "device", "dtype", "random_model")
    return {name: getattr(options, name) for name in names}


def _cases(engine: TransformersEngine, options: argparse.Namespace) -> dict[str, Requests]:
    many, length, source = options.candidates, options.prefix_tokens, Source(engine.tokenizer)

    def grids(name: str, candidates: int, labels: bool) -> dict[str, Requests]:
        """The seed of each case holds its name: the engine caches prefixes, and no case may profit from another's."""
        return {name: lambda repeat: grid(source, f"{name}:{repeat}", candidates, options.examples, length, labels)}

    return {
        **grids("grid, closed", many, True),
        **grids("grid, free", many, False),
        **grids("one candidate, closed", 1, True),
        **grids("one candidate, free", 1, False),
        "prefill alone": lambda repeat: unshared(source, f"prefill:{repeat}", options.examples, length),
    }


def _case(
    case: Requests,
    engine: TransformersEngine,
    plain: PlainTransformers,
    llama: LlamaCpp | str,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """All contestants on one case, in turn, and the machine's limit between them."""
    ours, shape = Ours(engine), Shape.of(engine.model.config)
    piles = [case(repeat) for repeat in range(options.repeats)]
    answers: dict[str, Answer] = {OURS: ours.answer, PLAIN: plain.answer}
    if isinstance(llama, LlamaCpp):
        answers[LLAMA] = llama.answer
    for answer in answers.values():
        answer(case(options.repeats)[:2])  # warm up on requests that are not measured
    ours.spent.clear()
    runs: dict[str, Callable[[int], Any]] = {"limit": lambda repeat: now(shape, options)}
    runs |= {name: partial(_answer, answer, piles) for name, answer in answers.items()}
    return _figures(in_turn(runs, options.repeats), ours.spent, piles, engine)


def _answer(answer: Answer, piles: Sequence[Sequence[Request]], repeat: int) -> list[str]:
    return answer(piles[repeat])


def _figures(
    taken: Mapping[str, Sequence[Timed[Any]]],
    spent: Sequence[Usage],
    piles: Sequence[Sequence[Request]],
    engine: TransformersEngine,
) -> dict[str, Any]:
    seconds = {name: [run.seconds for run in runs] for name, runs in taken.items() if name != "limit"}
    asked, computed = [use.prompt_tokens for use in spent], [use.computed_prompt_tokens for use in spent]
    shape = Shape.of(engine.model.config)
    rates: list[Rates] = [limit.result for limit in taken["limit"]]
    needed = [forward_flops(shape, [len(engine.render(one)) for one in pile], len(pile)) for pile in piles]
    done = [1e-9 * flops / time for flops, time in zip(needed, seconds[OURS], strict=True)]
    found: dict[str, Any] = {
        f"{name}_over_ours": ratios(times, seconds[OURS]) for name, times in seconds.items() if name != OURS
    }
    found["tokens_asked"], found["tokens_computed"] = spread(asked), spread(computed)
    found["asked_per_second"] = {name: _rate(asked, times) for name, times in seconds.items()}
    found["computed_per_second"] = {OURS: _rate(computed, seconds[OURS]), PLAIN: _rate(asked, seconds[PLAIN])}
    found["agreement"] = {
        name: sum(_same(taken[OURS], runs)) / len(_same(taken[OURS], runs))
        for name, runs in taken.items()
        if name in (PLAIN, LLAMA)
    }
    found["limit_gflops"], found["torch_gflops"] = (spread(list(each)) for each in zip(*rates, strict=True))
    found["work_over_limit"] = spread([rate / limits.fastest for rate, limits in zip(done, rates, strict=True)])
    found["work_over_torch"] = spread([rate / limits.torch for rate, limits in zip(done, rates, strict=True)])
    found["seconds"] = {name: spread(times) for name, times in seconds.items()}
    return found


def _rate(tokens: Sequence[int], seconds: Sequence[float]) -> dict[str, float]:
    return spread([count / time for count, time in zip(tokens, seconds, strict=True)])


def _same(ours: Sequence[Timed[Any]], theirs: Sequence[Timed[Any]]) -> list[bool]:
    pairs = zip(ours, theirs, strict=True)
    return [a == b for left, right in pairs for a, b in zip(left.result, right.result, strict=True)]


def _speed(found: Mapping[str, Any], absent: str) -> Table:
    rows = []
    for name, case in found.items():
        llama = "not measured" if absent else shown(case["llama_cpp_over_ours"], "x")
        agreement = case["agreement"]
        same = f"{agreement[PLAIN]:.0%}" + (f" / {agreement[LLAMA]:.0%}" if LLAMA in agreement else "")
        rows.append((name, shown(case["plain_over_ours"], "x"), llama, same))
    columns = ("case", "plain transformers' time over ours", "llama.cpp's time over ours", "same answers")
    return Table("Time of others over ours: median (min to max) of paired runs", columns, rows)


def _share(found: Mapping[str, Any]) -> Table:
    rows = [
        (
            name,
            f"{case['tokens_asked']['median']:,.0f}",
            f"{case['tokens_computed']['median']:,.0f}",
            shown(case["asked_per_second"][OURS]),
            shown(case["asked_per_second"][PLAIN]),
            *(percent(case[share]) for share in ("work_over_limit", "work_over_torch")),
        )
        for name, case in found.items()
    ]
    columns = (
        "case",
        "prompt tokens asked",
        "computed",
        "ours: asked/s",
        "plain: asked/s",
        "over the limit",
        "over torch's",
    )
    return Table(
        "Prompt tokens, and the work of computing all of them over the machine's limit and over torch's own products",
        columns,
        rows,
    )


if __name__ == "__main__":
    main()
