"""Typed values in prompts, in traces and in the results of programs."""

import enum
import json
from datetime import date
from typing import Any, Literal

import dspy
import pydantic
import pytest

from bt_core.engine.base import Request
from bt_core.errors import DataError
from bt_core.formats.traces import read_traces
from bt_core.lm.rendering import training_rows
from bt_core.lm.states import vanilla_states
from bt_core.records import write_traces
from tests.core.lm.wild_programs import Chain, by_seed, calls, sent, trained
from tests.core.scripted import Wild


class Person(pydantic.BaseModel):
    name: str
    born: date
    tags: list[str] = []


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


TYPES: dict[str, tuple[type, str, Any]] = {
    "int": (int, "42", 42),
    "float": (float, "0.5", 0.5),
    "bool": (bool, "True", True),
    "list": (list[str], '["a", "b"]', ["a", "b"]),
    "dict": (dict[str, int], '{"a": 1}', {"a": 1}),
    "literal": (Literal["red", "green"], "green", "green"),
    "optional": (int | None, "None", None),
    "enum": (Mood, "bad", "bad"),
    "date": (date, "2020-02-29", "2020-02-29"),
    "model": (
        Person,
        '{"name": "Ada", "born": "1815-12-10", "tags": ["x"]}',
        {"name": "Ada", "born": "1815-12-10", "tags": ["x"]},
    ),
}


@pytest.mark.parametrize("adapter", ["line", "chat"])
@pytest.mark.parametrize("name", TYPES)
def test_typed_values_come_back_from_the_trace_as_the_prompt_had_them(name: str, adapter: str, tmp_path: Any) -> None:
    annotation, text, json_value = TYPES[name]
    types = {"T": annotation}

    class Typed(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.make = dspy.Predict(dspy.Signature("question -> value: T", "Make.", custom_types=types))
            self.use = dspy.Predict(dspy.Signature("value: T -> answer", "Use.", custom_types=types))

        def forward(self, question: str) -> Any:
            value = self.make(question=question).value
            assert not isinstance(annotation, type) or isinstance(value, annotation)
            return self.use(value=value)

    def say(prompt: str, request: Request) -> str:
        if adapter == "line" or request.labels:
            found = text if "question" in prompt.lower() else "fine"
            return next((label for label in request.labels if text in label), found)
        field = ("value", text) if "## question" in prompt else ("answer", "fine")
        return f"[[ ## {field[0]} ## ]]\n{field[1]}\n\n[[ ## completed ## ]]"

    wild = Wild(Typed, say, **({} if adapter == "line" else {"adapter": None}))
    trace = wild.one("q")
    assert calls(trace)[0] == ("make", {"question": "q"}, {"value": json_value})
    write_traces(tmp_path / "traces", [trace])
    (read,) = read_traces(tmp_path / "traces")
    assert read == trace
    assert trained(wild, read) == sent(wild), "fine-tuning sees the prompts that the program sent"
    completion = training_rows(wild.task, vanilla_states(wild.task), [read])[0][1].completion
    assert text in completion


def test_a_demonstration_with_typed_values_is_rendered_as_the_program_would() -> None:
    person = Person(name="Ada", born=date(1815, 12, 10))

    class Greet(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.greet = dspy.Predict(
                dspy.Signature("person: P -> mood: M", "Greet.", custom_types={"P": Person, "M": Mood})
            )
            self.greet.demos = [dspy.Example(person=person, mood=Mood.GOOD)]

        def forward(self, question: str) -> Any:
            return self.greet(person=person)

    wild = Wild(Greet, lambda prompt, request: "bad")
    wild.one("q")
    _, demo, answer, now = wild.engine.requests[0].messages
    assert demo.content == now.content
    assert answer.content == "good"
    json.dumps(vanilla_states(wild.task)["greet"].demos)


def test_a_conversation_is_an_input_like_any_other() -> None:
    class Talk(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.reply = dspy.Predict("question, history: dspy.History -> answer")

        def forward(self, question: str) -> Any:
            turns: list[Any] = []
            for text in (question, "and then?"):
                answer = self.reply(question=text, history=dspy.History(messages=list(turns))).answer
                turns.append({"question": text, "answer": answer})
            return dspy.Prediction(answer=answer)

    wild = Wild(Talk, lambda prompt, request: f"{len(request.messages)} messages")
    trace = wild.one("q")
    assert trace.calls[1].inputs["history"] == {"messages": [{"question": "q", "answer": "2 messages"}]}
    assert trace.calls[1].outputs == {"answer": "4 messages"}
    assert trained(wild, trace) == sent(wild)


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ("text", {"prediction": "text"}),
        ({"answer": float("nan")}, {"answer": "NaN"}),
        (dspy.Prediction(answer={date(2020, 1, 1)}, raw=b"\xff"), {"answer": ["2020-01-01"], "raw": "_w=="}),
    ],
    ids=["text", "mapping", "odd-values"],
)
def test_whatever_a_program_returns_can_be_written_to_a_file(value: Any, fields: Any, tmp_path: Any) -> None:
    class Returns(Chain):
        def forward(self, question: str) -> Any:
            super().forward(question)
            return value

    trace = Wild(Returns, by_seed).one("q")
    assert trace.prediction == fields
    write_traces(tmp_path / "traces", [trace])
    assert read_traces(tmp_path / "traces") == [trace]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ({"example": "x", "score": "1"}, "`score` is '1'"),
        ({"example": "x", "score": 1, "prediction": "y"}, "`prediction` is 'y'"),
        (
            {"example": "x", "score": 1, "calls": [{"predictor": "p", "inputs": [], "outputs": {}}]},
            "`calls.0.inputs` is",
        ),
    ],
    ids=["score", "prediction", "inputs"],
)
def test_a_trace_of_other_types_is_refused_where_it_is_read(line: Any, wrong: str, tmp_path: Any) -> None:
    (tmp_path / "traces").write_text(json.dumps(line) + "\n")
    with pytest.raises(DataError, match=f"row 1: not a trace \\({wrong}"):
        read_traces(tmp_path / "traces")
