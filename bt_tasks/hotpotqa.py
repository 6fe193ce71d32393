"""HotPotQA (Yang et al. 2018, arXiv 1809.09600), the paper's first task: three modules, two hops of retrieval."""

from typing import Any, Literal

import dspy
from pydantic import Field

from bt_core.config import Address
from bt_core.metrics import exact_match, f1
from bt_core.records import Row
from bt_core.task import Task, TaskFactory
from bt_tasks.support.prompting import Prompting, module_of
from bt_tasks.support.retrieval import Retriever, retriever

#: The questions of the data set; their distractor paragraphs are downloaded too, but not used.
HUB_DATA = "hub:hotpotqa/hotpot_qa:fullwiki"


class HotpotSettings(Prompting):
    """Settings of the task `hotpotqa`."""

    corpus: Address = Field(
        "",
        description="paragraphs to search: a file, s3://bucket/key or hub:ID of rows with title and text, or context",
    )
    retriever: Address = Field("", description="address of a ColBERTv2 server, in place of BM25 over `corpus`")
    passages: int = Field(3, ge=1, le=100, description="passages that a hop retrieves")
    passage_words: int = Field(0, ge=0, description="words of a passage that a prompt shows; 0: all")
    metric: Literal["exact_match", "f1"] = Field("exact_match", description="of the answer, normalised officially")


class TwoHops(dspy.Module):
    """Query, passages, another query, more passages, answer.

    With the paper's prompts both queries are asked for from `context, question`, the first with an empty context.
    """

    def __init__(self, settings: HotpotSettings, search: Retriever) -> None:
        super().__init__()
        paper, self.settings, self.search = settings.is_paper, settings, search
        first = "context, question -> search_query" if paper else "question -> search_query"
        self.first_query = module_of(first, "" if paper else "Write a search query for the question.", paper)
        self.second_query = module_of(
            "context, question -> search_query",
            "" if paper else "Write a search query for what the context does not say yet.",
            paper,
        )
        self.answer = module_of(
            "context, question -> answer",
            "" if paper else "Answer the question in a few words.",
            paper,
        )

    def forward(self, question: str) -> Any:
        queries, context = self.retrieve(question)
        answer = self.answer(context=context, question=question).answer
        return dspy.Prediction(answer=answer, queries=queries, context=context)

    def retrieve(self, question: str) -> tuple[list[str], list[str]]:
        """The queries of both hops, and the passages that they find, each once."""
        start: dict[str, Any] = {"context": []} if self.settings.is_paper else {}
        first = self.first_query(**start, question=question).search_query
        context = self._found(first)
        second = self.second_query(context=context, question=question).search_query
        return [first, second], list(dict.fromkeys([*context, *self._found(second)]))

    def _found(self, query: str) -> list[str]:
        found = self.search.search(query, self.settings.passages)
        words = self.settings.passage_words
        return [" ".join(text.split()[:words]) for text in found] if words else found


def questions() -> dict[str, list[Row]]:
    """The hard questions of the official train split, and those of the validation split as test, as in the paper."""
    from bt_core.data import read_source

    splits = read_source(HUB_DATA)
    assert isinstance(splits, dict), "a data set on the hub has splits"
    columns = ("question", "answer", "type", "level")
    rows = {split: [{name: row[name] for name in columns} for row in splits[split]] for split in ("train", "test")}
    return {"train": [row for row in rows["train"] if row["level"] == "hard"], "test": rows["test"]}


def make(settings: HotpotSettings) -> Task:
    """Make the task of its settings; the corpus is read at the first search."""
    search = retriever(settings.corpus, settings.retriever)
    shown = settings.model_copy(update={"corpus": "", "retriever": ""})  # the program searches, wherever that is
    return Task(
        name="hotpotqa",
        program=lambda: TwoHops(shown, search),
        metric={"exact_match": exact_match, "f1": f1}[settings.metric]("answer"),
        inputs=("question",),
        labels=("answer",),
        data=questions,
        adapter=settings.adapter,
        config={} if settings.is_paper else {"decoding": {"max_tokens": 32, "stop": ["\n"]}},
        description="questions over two paragraphs; query, second query and answer, three passages a hop",
    )


task = TaskFactory(HotpotSettings, make)
