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


def test_one_output_leaves_the_instructions_as_they_are() -> None:
    assert LineAdapter().format_system_message(ONE) == "Name the continent."


def test_several_outputs_have_their_form_in_the_prompt() -> None:
    assert LineAdapter().format(TWO, [], {"city": "Oslo"})[0]["content"] == (
        "Judge the city.\nReply in this form:\nReasoning: ...\nIs coastal: True or False\nKind: big or small"
    )
    three = dspy.Signature("text -> name, age: int, height: float, tags: list[str]", "Read it.")
    assert LineAdapter().format_system_message(three) == (
        "Read it.\nReply in this form:\nName: ...\nAge: a whole number\nHeight: a number\nTags: JSON"
    )


def test_a_form_in_the_instructions_is_not_said_again() -> None:
    own = "Judge the city.\nReply in this form:\nReasoning: ...\nIs coastal: ...\nKind: ..."
    assert LineAdapter().format_system_message(TWO.with_instructions(own)) == own


NUMBERS = {
    "Answer: 42.": 42,
    "Score: 42": 42,
    "about 1,234 people": 1234,
    "$1,250": 1250,
    "It is **42**.": 42,
    "−7": -7,
    "42\nbecause 42 is right": 42,
    "Q1: 42": 42,
}


@pytest.mark.parametrize(("text", "number"), NUMBERS.items(), ids=range(len(NUMBERS)))
def test_the_only_number_in_an_answer_is_read(text: str, number: int) -> None:
    for kind in (int, float, int | None):
        signature = dspy.Signature({"text": (str, dspy.InputField()), "score": (kind, dspy.OutputField())})
        assert LineAdapter().parse(signature, text) == {"score": number}
    several = dspy.Signature("text -> why, score: int")
    assert LineAdapter().parse(several, f"Why: so\nScore: {text}") == {"why": "so", "score": number}


AMBIGUOUS = ["4 of 5", "2 + 2 = 4", "3,5", "1.234,56", "2024-05-01", "5-7", "1/2", "1 234", "45%", "1.2.3", "4km"]


@pytest.mark.parametrize("text", [*AMBIGUOUS, "", "n/a"])
def test_a_number_that_may_be_meant_otherwise_is_refused(text: str) -> None:
    with pytest.raises(AdapterParseError, match="which is no int"):
        LineAdapter().parse(dspy.Signature("text -> score: int"), text)


def test_a_fraction_is_no_whole_number() -> None:
    with pytest.raises(AdapterParseError, match=r"`score` holds 'About 4\.5\.', which is no int"):
        LineAdapter().parse(dspy.Signature("text -> score: int"), "About 4.5.")
    assert LineAdapter().parse(dspy.Signature("text -> score: float"), "About 4.5.") == {"score": 4.5}


@pytest.mark.parametrize(("text", "value"), [("Is coastal: Yes.", True), ("**false**", False), ("True.", True)])
def test_what_stands_around_a_value_does_not_belong_to_it(text: str, value: bool) -> None:
    assert LineAdapter().parse(dspy.Signature("city -> is_coastal: bool"), text) == {"is_coastal": value}


def test_a_text_is_kept_as_it_was_written() -> None:
    assert LineAdapter().parse(ONE, '"Continent: Asia."') == {"continent": '"Continent: Asia."'}


@pytest.mark.parametrize("text", ["Reasoning: none", "Reasoning: a\nIs coastal: perhaps\nKind: big", ""])
def test_an_answer_that_lacks_a_field_or_its_type_is_refused(text: str) -> None:
    with pytest.raises(AdapterParseError):
        LineAdapter().parse(TWO, text)
