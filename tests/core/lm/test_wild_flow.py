"""Programs with loops, tools, nested modules and failures that they catch: each call is traced under its predictor."""

from typing import Any

import dspy

from bt_core.engine.base import Request
from tests.core.lm.wild_programs import asked, calls, sent, trained
from tests.core.scripted import Wild

PASSAGES = {"who built it": "Ada built the bridge.", "where was Ada born": "Ada was born in Lima."}


class Hops(dspy.Module):
    """A loop with retrieval between the calls; one module is called several times."""

    def __init__(self) -> None:
        super().__init__()
        self.query = dspy.Predict("question, notes: list[str] -> query")
        self.answer = dspy.ChainOfThought("question, notes: list[str] -> answer")

    def forward(self, question: str) -> Any:
        notes: list[str] = []
        for _ in range(2):
            query = self.query(question=question, notes=notes).query
            notes = [*notes, PASSAGES[query]]
        return self.answer(question=question, notes=notes)


def hop(prompt: str, request: Request) -> str:
    if "born in Lima" in prompt:
        return "Reasoning: Ada built it.\nAnswer: Lima"
    return "where was Ada born" if "built the bridge" in prompt else "who built it"


def test_a_loop_with_retrieval_between_its_calls() -> None:
    wild = Wild(Hops, hop)
    trace = wild.one("Where was the builder born?")
    question = "Where was the builder born?"
    first, second = "Ada built the bridge.", "Ada was born in Lima."
    assert calls(trace) == [
        ("query", {"question": question, "notes": []}, {"query": "who built it"}),
        ("query", {"question": question, "notes": [first]}, {"query": "where was Ada born"}),
        (
            "answer.predict",
            {"question": question, "notes": [first, second]},
            {"reasoning": "Ada built it.", "answer": "Lima"},
        ),
    ]
    assert [name for name, _ in asked(wild)] == ["query", "query", "answer.predict"]
    assert trained(wild, trace) == sent(wild)


def lookup(city: str) -> str:
    """Tell the country of a city."""
    return {"Lima": "Peru"}[city]


def test_react_with_tools() -> None:
    def act(prompt: str, request: Request) -> str:
        if "Next thought" not in prompt and "you may reason" not in request.messages[0].content:
            return "Reasoning: the tool said so\nAnswer: Peru"
        if "Peru" in prompt:
            return "Next thought: done\nNext tool name: finish\nNext tool args: {}"
        return 'Next thought: look it up\nNext tool name: lookup\nNext tool args: {"city": "Lima"}'

    wild = Wild(lambda: dspy.ReAct("question -> answer", tools=[lookup], max_iters=4), act)
    trace = wild.one("Where is Lima?")
    assert [name for name, _, _ in calls(trace)] == ["react", "react", "extract.predict"]
    assert trace.calls[0].outputs["next_tool_args"] == {"city": "Lima"}
    assert "Peru" in trace.calls[1].inputs["trajectory"]
    assert trace.prediction["answer"] == "Peru"
    assert trained(wild, trace) == sent(wild)


class Team(dspy.Module):
    """Modules in a list, in a dictionary and inside one another."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = [dspy.Predict("question -> step"), dspy.ChainOfThought("question -> step")]
        self.experts = {"a/b": dspy.Predict("question -> opinion"), "c": Inner()}

    def forward(self, question: str) -> Any:
        for step in self.steps:
            step(question=question)
        self.experts["c"](question=question)
        return self.experts["a/b"](question=question)


class Inner(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.deep = Deep()

    def forward(self, question: str) -> Any:
        return self.deep(question=question)


class Deep(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.say = dspy.Predict("question -> opinion")

    def forward(self, question: str) -> Any:
        return self.say(question=question)


def test_modules_in_lists_dictionaries_and_one_another() -> None:
    wild = Wild(Team, lambda prompt, request: "Reasoning: r\nStep: s" if "steps[1]" in str(request.adapter) else "yes")
    trace = wild.one("q")
    names = ["steps[0]", "steps[1].predict", "experts['c'].deep.say", "experts['a/b']"]
    assert [name for name, _, _ in calls(trace)] == names
    assert [name for name, _ in asked(wild)] == names


def test_a_module_whose_failure_the_program_catches() -> None:
    class Careful(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.count = dspy.Predict("question -> number: int")
            self.guess = dspy.Predict("question -> answer")

        def forward(self, question: str) -> Any:
            try:
                return self.count(question=question)
            except Exception:
                return self.guess(question=question)

    wild = Wild(Careful, lambda prompt, request: "many")
    trace = wild.one("How many?")
    assert calls(trace) == [("guess", {"question": "How many?"}, {"answer": "many"})]
    assert [name for name, _ in asked(wild)] == ["count", "guess"]


def test_a_predictor_made_inside_forward_is_answered_and_not_traced() -> None:
    class Maker(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.say = dspy.Predict("question -> answer")

        def forward(self, question: str) -> Any:
            hint = dspy.Predict("question -> hint")(question=question).hint
            return self.say(question=hint)

    wild = Wild(Maker, lambda prompt, request: "x")
    assert calls(wild.one("q")) == [("say", {"question": "x"}, {"answer": "x"})]
    assert [request.adapter is None for request in wild.engine.requests] == [True, False]
