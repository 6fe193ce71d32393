"""Retrieval for `hotpotqa`: how many of a question's supporting paragraphs BM25 finds, three passages a hop.

python -m benchmarks.retrieval --data questions.jsonl           # writes benchmarks/results/retrieval.json
python -m benchmarks.retrieval --data questions.jsonl --gold    # without the queries that an LM writes

The questions' own paragraphs together are the corpus. Queries are gold ones (the title of the paragraph that the hop
is to find), the question itself, and those that the task's program writes with its vanilla prompts, where the second
one's prompt shows the beginnings of the passages that the first one found.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy

from benchmarks.harness.record import Table, finish, parser
from bt_core.config import resolve_config
from bt_core.data import read_rows
from bt_core.lm.runner import Runner
from bt_core.lm.states import vanilla_states
from bt_core.models import EMBEDDED_MODEL, resolve_model
from bt_core.program import Program
from bt_core.records import Row
from bt_core.steps.engines import load_engine
from bt_core.task import load_task
from bt_tasks.hotpotqa import HotpotSettings, TwoHops
from bt_tasks.support.retrieval import Retriever, passage, retriever

PASSAGES = 3
Queries = Sequence[Sequence[str]]
"""The queries of each question, hop by hop."""


def supporting(row: Row) -> list[str]:
    """The supporting paragraphs of a question, once each, in the order in which its facts name them."""
    texts = {part["title"]: passage(part["title"], "".join(part["sentences"])) for part in row["context"]}
    return list(dict.fromkeys(texts[title] for title, _ in row["supporting_facts"]))


def gold(rows: Sequence[Row]) -> Queries:
    """The titles of the supporting paragraphs."""
    return [[text.partition(" | ")[0] for text in supporting(row)] for row in rows]


class Searching(TwoHops):
    """The task's program without its answer, which would take most of the time."""

    def forward(self, question: str) -> Any:
        return dspy.Prediction(queries=self.retrieve(question)[0])


def generated(rows: Sequence[Row], corpus: str, model: str, words: int) -> Queries:
    """The queries of the task's program, with its vanilla prompts and without demonstrations."""
    settings = {"corpus": corpus, "passages": PASSAGES, "passage_words": words}
    search = retriever(corpus, "")
    task = replace(
        load_task("hotpotqa", settings),
        program=lambda: Searching(HotpotSettings(**settings), search),
        metric=lambda example, prediction: 0.0,
    )
    config = resolve_config(task.config, {"task": "hotpotqa", "task_settings": settings, "model": model})
    base = resolve_model(config.model)
    program = Program("hotpotqa", base.id, base.revision, vanilla_states(task), task_settings=settings)
    with tempfile.TemporaryDirectory() as folder:
        traces = Runner(task, config, load_engine(program, config), Path(folder)).run(program, rows, "queries")
    return [[str(call.outputs.get("search_query", "")) for call in trace.calls[:2]] for trace in traces]


def recall(rows: Sequence[Row], queries: Queries, search: Retriever, count: int = PASSAGES) -> dict[str, float]:
    """Shares of the supporting paragraphs that are found.

    Returns:
        `first`: by the first query; `both`: by all queries together, means over the questions; `complete`: the share of
        questions for which every one of them was found.
    """
    totals = {"first": 0.0, "both": 0.0, "complete": 0.0}
    for row, asked in zip(rows, queries, strict=True):
        wanted = set(supporting(row))
        hops = [wanted & set(search.search(query, count)) for query in asked]
        found = set().union(*hops)
        totals["first"] += len(hops[0] if hops else ()) / len(wanted)
        totals["both"] += len(found) / len(wanted)
        totals["complete"] += found == wanted
    return {name: total / len(rows) for name, total in totals.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the JSON file."""
    made = parser("retrieval", str(__doc__), repeats=1)
    made.add_argument("--data", type=Path, required=True, help="questions with `context` and `supporting_facts`")
    made.add_argument("--model", default=EMBEDDED_MODEL, help="that writes the queries")
    made.add_argument("--words", type=int, default=30, help="of a passage in the second query's prompt (%(default)s)")
    made.add_argument("--gold", action="store_true", help="leave out the queries that an LM writes")
    options = made.parse_args(arguments)
    rows = read_rows(options.data)[: 12 if options.quick else None]
    search = retriever(str(options.data), "")
    questions = [[row["question"]] for row in rows]
    found: dict[str, Mapping[str, float]] = {
        "gold: the titles": recall(rows, gold(rows), search),
        "the question, 3 passages": recall(rows, questions, search),
        "the question, 6 passages": recall(rows, questions, search, 2 * PASSAGES),
    }
    if not options.gold:
        asked = generated(rows, str(options.data), options.model, options.words)
        found[f"generated by {Path(options.model).name}"] = recall(rows, asked, search)
    columns = ["queries", "found at the first hop", "found at both hops", "all found"]
    lines = [[name, *(f"{value:.3f}" for value in shares.values())] for name, shares in found.items()]
    title = f"Supporting paragraphs of {len(rows)} questions found by BM25, {PASSAGES} passages a hop"
    finish("retrieval", options, {"recall": found}, [Table(title, columns, lines)], [])


if __name__ == "__main__":
    main()
