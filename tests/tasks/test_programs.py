"""The paper's programs: their prompts, their retrieval and their settings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.utils import DummyLM

from bt_core.errors import ConfigError, DataError, WorldError
from bt_core.task import Task, TaskFactory, load_task
from bt_tasks import gsm8k, hotpotqa
from bt_tasks.support.prompting import Prompting
from bt_tasks.support.retrieval import Bm25, ColbertServer, read_corpus, retriever
from tests.core import toy
from tests.tasks.service import serving

PARAGRAPHS = [
    {"title": "Ada", "text": "Ada Lovelace wrote the first program."},
    {"title": "Byron", "text": "Lord Byron was the father of Ada Lovelace."},
    {"title": "Missolonghi", "text": "Byron died in Missolonghi, a town in Greece."},
    {"title": "Athens", "text": "Athens is the capital of Greece."},
    {"title": "Paris", "text": "Paris is the capital of France."},
]
TWO_HOPS = [{"search_query": "Ada Lovelace father"}, {"search_query": "Byron died"}, {"answer": "Missolonghi"}]
QUESTION = "Where did Ada Lovelace's father die?"

Write = Callable[..., Path]


def _asked(task: Task, answers: list[dict[str, Any]], **inputs: Any) -> tuple[Any, list[str]]:
    """A program's prediction with these answers of the LM, and its prompts."""
    lm = DummyLM(answers)
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter(), trace=[]):
        prediction = task.program()(**inputs)
    return prediction, ["\n".join(message["content"] for message in call["messages"]) for call in lm.history]


def test_hotpotqa_searches_twice_and_answers_from_what_it_found(write: Write) -> None:
    corpus = write("corpus.jsonl", PARAGRAPHS)
    task = load_task("hotpotqa", {"corpus": str(corpus), "passages": 2})
    found, prompts = _asked(task, TWO_HOPS, question=QUESTION)
    assert found.queries == ["Ada Lovelace father", "Byron died"]
    assert [text.partition(" | ")[0] for text in found.context] == ["Byron", "Ada", "Missolonghi"]
    assert "[[ ## context ## ]]" not in prompts[0]
    assert "Missolonghi" not in prompts[1]
    assert all(passage in prompts[2] for passage in found.context)
    assert task.metric(dspy.Example(answer="missolonghi."), found) == 1.0


def test_hotpotqa_as_in_the_paper_reasons_and_begins_with_an_empty_context(write: Write) -> None:
    settings = {"corpus": str(write("corpus.jsonl", PARAGRAPHS)), "prompt": "paper", "metric": "f1"}
    task = load_task("hotpotqa", settings)
    thought = [{"reasoning": "So.", **answer} for answer in TWO_HOPS]
    found, prompts = _asked(task, thought, question=QUESTION)
    assert len(found.context) <= 6
    assert "[[ ## context ## ]]\n" in prompts[0]
    assert all("[[ ## reasoning ## ]]" in prompt for prompt in prompts)
    names = [name for name, _ in task.program().named_predictors()]
    assert names == ["first_query.predict", "second_query.predict", "answer.predict"]
    assert task.adapter is None
    assert task.metric(dspy.Example(answer="in Missolonghi"), found) == pytest.approx(2 / 3)


def test_passages_may_be_cut_for_a_short_context(write: Write) -> None:
    settings = {"corpus": str(write("corpus.jsonl", PARAGRAPHS)), "passages": 1, "passage_words": 3}
    found, _ = _asked(load_task("hotpotqa", settings), TWO_HOPS, question=QUESTION)
    assert found.context == ["Byron | Lord", "Missolonghi | Byron"]


def test_a_server_takes_the_corpus_place() -> None:
    hits = {"topk": [{"text": f"{item['title']} | {item['text']}", "rank": 1} for item in PARAGRAPHS]}
    with serving(lambda request: hits) as service:
        task = load_task("hotpotqa", {"retriever": f"{service.url}/api/search"})
        found, _ = _asked(task, TWO_HOPS, question=QUESTION)
    assert len(found.context) == 3, "the three best of each hop, and each passage once"
    assert [request.path for request in service.requests] == [
        "/api/search?query=Ada+Lovelace+father&k=3",
        "/api/search?query=Byron+died&k=3",
    ]


@pytest.mark.parametrize(
    ("answer", "sentence"), [({"error": "down"}, "did not answer with `topk` passages"), ("<html>", "answered no JSON")]
)
def test_a_server_with_another_protocol_is_reported(answer: Any, sentence: str) -> None:
    with serving(lambda request: answer) as service, pytest.raises(WorldError, match=sentence):
        ColbertServer(service.url).search("x", 3)


def test_an_unreachable_server_is_reported() -> None:
    with serving(lambda request: {}) as gone:
        pass
    with pytest.raises(WorldError, match=r"The retriever at http://127\.0\.0\.1:.* cannot be used"):
        ColbertServer(gone.url).search("x", 3)
    with pytest.raises(WorldError, match="'colbert:8893', which is none"):
        ColbertServer("colbert:8893").search("x", 3)


def test_bm25_finds_passages_that_share_words_and_nothing_else() -> None:
    index = Bm25(lambda: [f"{item['title']} | {item['text']}" for item in PARAGRAPHS])
    found = [text.partition(" ")[0] for text in index.search("capital of Greece", 3)]
    assert found[0] == "Athens"
    assert sorted(found) == ["Athens", "Missolonghi", "Paris"]
    assert index.search("the of is", 3) == index.search("", 3) == index.search("zebra", 3) == []
    assert len(index.search("Greece", 30)) == 2
    with pytest.raises(DataError, match="holds no passages"):
        Bm25(list).search("x", 1)


def test_a_corpus_is_made_of_paragraphs_or_of_questions_with_their_context(write: Write) -> None:
    sentences = [{"title": item["title"], "sentences": item["text"].split(" ", 1)} for item in PARAGRAPHS]
    questions = [{"question": "?", "context": sentences[:3]}, {"question": "!", "context": sentences[2:]}]
    hub = {"title": [item["title"] for item in sentences], "sentences": [item["sentences"] for item in sentences]}
    ways = [PARAGRAPHS, questions, [{"context": hub}], [{"text": item["text"]} for item in PARAGRAPHS]]
    whole, listed, nested, bare = (read_corpus(str(write(f"{n}.jsonl", rows))) for n, rows in enumerate(ways))
    assert whole[0] == "Ada | Ada Lovelace wrote the first program."
    assert len(listed) == len(whole) == len(set(listed))
    assert nested == listed
    assert bare[0] == "Ada Lovelace wrote the first program."
    with pytest.raises(DataError, match=r"bad\.jsonl, row 1 holds no passage"):
        read_corpus(str(write("bad.jsonl", [{"title": "Ada"}])))


def test_a_search_without_a_corpus_says_which_setting_is_missing() -> None:
    with pytest.raises(ConfigError, match=r"`task_settings\.corpus` is empty"):
        retriever("", "").search("x", 3)


def test_gsm8k_reasons_and_takes_its_metric_by_setting() -> None:
    answers = [{"reasoning": "48 + 24 = 72", "answer": "72 clips\n(24 in May)"}]
    scores = {}
    for name in ("last_number", "first_line", "official"):
        task = load_task("gsm8k", {"metric": name, "prompt": "paper"})
        found, _ = _asked(task, answers, question="How many?")
        scores[name] = task.metric(dspy.Example(answer="Some text.\n#### 72"), found)
    assert scores == {"last_number": 0.0, "first_line": 1.0, "official": 0.0}


def test_iris_as_in_the_paper_shows_four_measurements_and_answers_freely() -> None:
    task = load_task("iris", {"prompt": "paper"})
    (row,) = [row for row in task.data() if row["petal"] == "69 x 23 mm"]
    answers = [{"reasoning": "Large.", "answer": "Virginica"}]
    found, prompts = _asked(task, answers, **{name: row[name] for name in task.inputs})
    for name, value in (("petal_length", "6.9"), ("petal_width", "2.3"), ("sepal_length", "7.7")):
        assert f"[[ ## {name} ## ]]\n{value}" in prompts[0]
    assert task.metric(dspy.Example(**row), found) == 1.0


def test_the_hubs_splits_become_those_of_the_paper(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders in the hub's layout, loaded by the code that loads ids of the hub."""
    levels = ("easy", "hard", "medium", "hard")
    rows = [{"id": str(n), "question": f"q{n}", "answer": "a", "type": "bridge", "level": levels[n]} for n in range(4)]
    write("hotpot/train.jsonl", rows)
    folder = write("hotpot/validation.jsonl", [{**row, "question": f"v {row['question']}"} for row in rows]).parent
    monkeypatch.setattr(hotpotqa, "HUB_DATA", f"hub:{folder}")
    found = load_task("hotpotqa").data()
    assert [row["question"] for row in found["train"]] == ["q1", "q3"], "hard ones"
    assert [row["question"] for row in found["test"]] == ["v q0", "v q1", "v q2", "v q3"]
    problems = [{"question": f"q{n}", "answer": f"So.\n#### {n}"} for n in range(3)]
    write("problems/train.jsonl", problems)
    folder = write("problems/test.jsonl", problems[:1]).parent
    monkeypatch.setattr(gsm8k, "HUB_DATA", f"hub:{folder}")
    assert {split: len(rows) for split, rows in load_task("gsm8k").data().items()} == {"train": 3, "test": 1}


@pytest.mark.parametrize(
    ("reference", "settings", "sentence"),
    [
        ("hotpotqa", {"corpse": "x"}, r"`task_settings\.corpse` is no setting.*its settings are `prompt`, `corpus`"),
        (
            "gsm8k",
            {"metric": "em"},
            r"`task_settings\.metric` is 'em', but input should be 'last_number'",
        ),
        ("hotpotqa", {"passages": 0, "prompt": 1}, r"2 mistakes in the settings of task `hotpotqa`"),
        ("continents", {"x": 1, "y": 2}, r"`task_settings\.x`, `task_settings\.y` is no setting of task `continents`"),
    ],
    ids=["unknown", "value", "two", "no-settings"],
)
def test_settings_that_a_task_does_not_have_are_refused(
    reference: str, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_task(reference, settings)


def test_a_users_task_takes_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    factory = TaskFactory(Prompting, lambda settings: toy.make(name=settings.prompt))
    monkeypatch.setattr(toy, "settled", factory, raising=False)
    assert load_task("tests.core.toy:settled", {"prompt": "paper"}).name == "paper"
    assert load_task("tests.core.toy:settled").name == "short"
