"""`python -m benchmarks.retrieval` counts supporting paragraphs correctly."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.retrieval import generated, gold, main, recall, supporting
from bt_tasks.support.retrieval import retriever
from tests.core import conftest as core

embedded_model, tiny_folder = core.embedded_model, core.tiny_folder

CONTEXT = [
    {"title": "Ada", "sentences": ["Ada wrote programs.", " Her father was Byron."]},
    {"title": "Byron", "sentences": ["Byron died in Missolonghi."]},
    {"title": "Alan", "sentences": ["Alan wrote papers."]},
    {"title": "Grace", "sentences": ["Grace wrote compilers."]},
]
QUESTIONS = [
    {"question": "Who wrote programs?", "context": CONTEXT, "supporting_facts": [["Ada", 0], ["Ada", 1], ["Byron", 0]]},
    {"question": "Who wrote papers?", "context": CONTEXT, "supporting_facts": [["Alan", 0]]},
]


@pytest.fixture
def questions(write: Callable[..., Path]) -> Path:
    """Two questions with four paragraphs."""
    return write("questions.jsonl", QUESTIONS)


def test_recall_counts_each_paragraph_once(questions: Path) -> None:
    search = retriever(str(questions), "")
    assert supporting(QUESTIONS[0]) == [
        "Ada | Ada wrote programs. Her father was Byron.",
        "Byron | Byron died in Missolonghi.",
    ]
    assert gold(QUESTIONS) == [["Ada", "Byron"], ["Alan"]]
    asked = [["programs", "Missolonghi"], ["compilers", ""]]
    assert recall(QUESTIONS, asked, search, 1) == {"first": 0.25, "both": 0.5, "complete": 0.5}
    assert recall(QUESTIONS, [[], ["papers"]], search, 1) == {"first": 0.5, "both": 0.5, "complete": 0.5}


def test_a_model_writes_the_queries(questions: Path, tiny_folder: Path) -> None:
    asked = generated(QUESTIONS, str(questions), str(tiny_folder), words=5)
    assert [len(queries) for queries in asked] == [2, 2]
    assert all(text for queries in asked for text in queries)


def test_the_figures_are_written(questions: Path, tmp_path: Path) -> None:
    main(["--data", str(questions), "--gold", "--out", str(tmp_path / "retrieval.json")])
    found = json.loads((tmp_path / "retrieval.json").read_text())
    assert found["recall"]["gold: the titles"]["complete"] == 1.0
    assert str(tmp_path) not in (tmp_path / "retrieval.json").read_text()
