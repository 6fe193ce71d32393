"""`bt check` on rows that are not independent: it asks for a group where one is due, and not where none is."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from bt_core.config import resolve_config
from bt_core.program import Program
from bt_core.records import Row
from bt_core.steps.check.findings import RULES
from bt_core.steps.check.group_findings import group_findings
from bt_core.steps.check.report import Evidence
from bt_core.task import Task, load_task
from tests.core import toy

ASKED = "What does the report say of this matter, and where?"
LONG = "It was a long report, and on its page {} stood what nobody had wanted to know."


def evidence(task: Task, rows: list[Row]) -> Evidence:
    third = len(rows) // 3
    splits = {"train": rows[:third], "val": rows[third : 2 * third], "test": rows[2 * third :]}
    return Evidence(task, resolve_config({"task": "toy"}), Program("toy", "m", "", {}, {}), splits, (), (), None)


def warnings(rows: list[Row], **parts: Any) -> list[str]:
    task = replace(toy.task, **{"inputs": ("question",), "labels": ("answer",), "stratify": ""} | parts)
    return [finding.sentence for finding in group_findings(evidence(task, rows))]


def made(**columns: Callable[[int], Any]) -> list[Row]:
    """Sixty rows with a question and an answer each, and these columns."""
    return [
        {"question": f"{ASKED} ({n})", "answer": f"a{n}", **{name: value(n) for name, value in columns.items()}}
        for n in range(60)
    ]


def test_questions_that_share_a_document() -> None:
    rows = made(text=lambda n: LONG.format(n // 5))
    (sentence,) = warnings(rows, inputs=("text", "question"))
    assert sentence == (
        "60 of 60 rows share their `text` with another row (12 different ones), and no group is set: intervals would"
        ' be too narrow, and the splits would share it. Set `group="text"` in the Task, or `group: text` in its file.'
    )


def test_the_coarsest_of_several_columns_is_named_and_the_others_mentioned() -> None:
    rows = made(text=lambda n: LONG.format(n // 2), user_id=lambda n: n // 10, sessionId=lambda n: f"s{n // 4}")
    (sentence,) = warnings(rows, inputs=("text", "question"))
    assert (
        "60 of 60 rows share their `user_id` with another row (6 different ones; rows share `text`, `sessionId` too"
        in sentence
    )
    assert "`group: user_id`" in sentence


@pytest.mark.parametrize(
    "column",
    ["document", "doc_id", "documentTitle", "user", "userId", "author-name", "thread_id", "session", "conversation_id"],
)
def test_keys_of_things_are_seen_from_two_values_on(column: str) -> None:
    assert f"`{column}`" in warnings(made(**{column: lambda n: n % 3}))[0]


@pytest.mark.parametrize("column", ["source", "url", "page_title", "group", "product_id", "id"])
def test_names_that_may_be_categories_are_keys_where_they_have_many_values(column: str) -> None:
    assert f"`{column}`" in warnings(made(**{column: lambda n: f"v{n // 3}"}))[0]
    assert warnings(made(**{column: lambda n: f"v{n % 4}"})) == []


def false_alarms() -> Iterator[tuple[str, list[Row], dict[str, Any]]]:
    inputs = {"inputs": ("other", "question")}
    yield "unique ids", made(id=lambda n: n, user_id=lambda n: f"u{n}", url=lambda n: f"https://x.example/{n}"), {}
    yield "a closed input", made(other=lambda n: ("DE", "FR", "IT")[n % 3]), inputs
    yield (
        "a closed input whose name is that of a key",
        made(user_id=lambda n: n % 3),
        {"inputs": ("user_id", "question")},
    )
    yield "short texts", made(other=lambda n: f"chapter {n % 9}"), inputs
    yield "one text for all rows", made(other=lambda n: LONG), inputs
    yield "one document for all rows", made(document=lambda n: "d"), {}
    yield "two rows of sixty", made(other=lambda n: LONG.format(max(n, 1))), inputs
    yield "no values", made(user=lambda n: None, url=lambda n: ""), {}
    yield "lists", made(documents=lambda n: ["a"], document=lambda n: ["a"]), {}
    yield "kinds and sizes of things", made(user_type=lambda n: n % 15, document_length=lambda n: n % 15), {}
    yield "yes or no", made(is_user=lambda n: n % 2 == 0), {}
    yield "fractions", made(user=lambda n: n % 3 / 2), {}
    yield "a label", made(topic_id=lambda n: n % 20), {"labels": ("topic_id",)}
    yield "the number of a label", made(team=lambda n: f"t{n % 12}", team_id=lambda n: n % 12), {"labels": ("team",)}
    yield "the column that is stratified", made(source=lambda n: n % 12), {"stratify": "source"}
    yield "the same inputs twice", [*made(user=lambda n: n)[:30]] * 2, {}


@pytest.mark.parametrize(("rows", "parts"), [pytest.param(*case[1:], id=case[0]) for case in false_alarms()])
def test_no_warning(rows: list[Row], parts: dict[str, Any]) -> None:
    assert warnings(rows, **parts) == []


@pytest.mark.parametrize("name", ["continents", "iris"])
def test_the_built_in_tasks_need_no_group(name: str) -> None:
    task = load_task(name)
    assert task.data is not None
    assert list(group_findings(evidence(task, list(task.data())))) == []


def test_few_groups_in_the_test_split_are_counted() -> None:
    (sentence,) = warnings(made(document=lambda n: n // 4), group="document")
    assert sentence == (
        "The 20 test rows are of 5 groups (`document`), and intervals count groups, not rows, as independent: they will"
        " be wide; bring rows of at least 20 groups."
    )
    assert warnings(made(document=lambda n: n), group="document") == []


def test_a_check_has_this_rule() -> None:
    assert group_findings in RULES
