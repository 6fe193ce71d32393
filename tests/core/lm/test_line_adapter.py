"""The line format for small models."""

from typing import Literal

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError

from bt_core.lm.adapters import LineAdapter

ONE = dspy.Signature("city, home_country -> continent", "Name the continent.")
TWO = dspy.Signature(
    "city -> reasoning, is_coastal: bool, kind: Literal['big', 'small']",
    "Judge the city.",
    custom_types={"Literal": Literal},
)


def test_the_prompt_is_instructions_and_a_line_for_each_field() -> None:
    demo = {"city": "Lima", "home_country": "Peru", "continent": "South America"}
    messages = LineAdapter().format(ONE, [demo], {"city": "Oslo", "home_country": "Norway"})
    assert [(message["role"], message["content"]) for message in messages] == [
        ("system", "Name the continent."),
        ("user", "City: Lima\nHome country: Peru"),
        ("assistant", "South America"),
        ("user", "City: Oslo\nHome country: Norway"),
    ]


def test_a_demo_that_lacks_a_field_keeps_its_others() -> None:
    messages = LineAdapter().format(ONE, [{"city": "Lima", "continent": "South America"}], {"city": "Oslo"})
    assert messages[1]["content"].endswith("City: Lima")
    assert messages[2]["content"] == "South America"


def test_several_outputs_are_read_back_as_they_were_written() -> None:
    values = {"reasoning": "It lies\nby the sea: a bay.", "is_coastal": True, "kind": "small"}
    adapter = LineAdapter()
    assert adapter.parse(TWO, adapter.format_assistant_message_content(TWO, values)) == values


@pytest.mark.parametrize("text", ["Reasoning: none", "Reasoning: a\nIs coastal: perhaps\nKind: big", ""])
def test_an_answer_that_lacks_a_field_or_its_type_is_refused(text: str) -> None:
    with pytest.raises(AdapterParseError):
        LineAdapter().parse(TWO, text)
