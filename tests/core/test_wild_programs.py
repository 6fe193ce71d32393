"""Programs as people write them: whatever their control flow, each call is traced under its predictor's name."""

import asyncio
import contextvars
import enum
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any, Literal

import dspy
import pydantic
import pytest

from bt_core.engine.base import Request
from bt_core.errors import DataError, ProgramError
from bt_core.lm.binding import vanilla_states
from bt_core.lm.rendering import training_rows
from bt_core.records import Trace, read_traces, write_traces
from tests.core.scripted import Wild

PASSAGES = {"who built it": "Ada built the bridge.", "where was Ada born": "Ada was born in Lima."}


def calls(trace: Trace) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    assert trace.error is None
    return [(call.predictor, call.inputs, call.outputs) for call in trace.calls]


def asked(wild: Wild) -> list[tuple[str, str]]:
    """(predictor whose adapter a request carries, last message)."""
    return [(one.adapter.sha256.removeprefix("sha256 of "), one.messages[-1].content) for one in wild.engine.requests]


def trained(wild: Wild, trace: Trace) -> list[tuple[str, tuple[Any, ...]]]:
    rows = training_rows(wild.task, vanilla_states(wild.task), [trace])
    return [(name, row.messages) for name, row in rows]


def sent(wild: Wild) -> list[tuple[str, tuple[Any, ...]]]:
    return [(name, request.messages) for (name, _), request in zip(asked(wild), wild.engine.requests, strict=True)]


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


class Colours(dspy.Module):
    """Calls one closed module for several things at once, in a way that the subclass chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = dspy.Predict(
            dspy.Signature("thing -> colour: C", "Name it.", custom_types={"C": Literal["red", "green", "blue"]})
        )
        self.sum_up = dspy.Predict("colours: list[str] -> answer")

    def forward(self, question: str) -> Any:
        things = question.split()
        return self.sum_up(colours=[one.colour for one in self.ask(things)])

    def ask(self, things: list[str]) -> list[Any]:
        """One prediction a thing, side by side in the way of each class below."""
        return [self.colour(thing=thing) for thing in things]


class InParallel(Colours):
    def ask(self, things: list[str]) -> list[Any]:
        pairs = [(self.colour, {"thing": thing}) for thing in things]
        return list(dspy.Parallel(num_threads=3, disable_progress_bar=True)(pairs))


class InThreads(Colours):
    def ask(self, things: list[str]) -> list[Any]:
        def one(thing: str) -> Any:
            time.sleep(0.02 * ("sky" in thing))
            return self.colour(thing=thing)

        with ThreadPoolExecutor(3) as pool:
            return [job.result() for job in [pool.submit(contextvars.copy_context().run, one, t) for t in things]]


class InCoroutines(Colours):
    def ask(self, things: list[str]) -> list[Any]:
        async def gathered() -> list[Any]:
            return await asyncio.gather(*(self.colour.acall(thing=thing) for thing in things))

        return asyncio.run(gathered())


class Awaited(dspy.Module):
    """Has no `forward` at all."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = Colours().colour
        self.sum_up = Colours().sum_up

    async def aforward(self, question: str) -> Any:
        jobs = [self.colour.acall(thing=thing) for thing in question.split()]
        found = await asyncio.gather(*jobs)
        return await self.sum_up.acall(colours=[one.colour for one in found])


def paint(prompt: str, request: Request) -> str:
    table = {"sky": "blue", "leaf": "green", "rose": "red"}
    return next((colour for thing, colour in table.items() if f"Thing: {thing}" in prompt), "nice")


@pytest.mark.parametrize("program", [InParallel, InThreads, InCoroutines, Awaited])
def test_calls_side_by_side_belong_to_their_example_in_an_order_that_does_not_change(program: Any) -> None:
    wild = Wild(program, paint)
    questions = ("sky leaf rose", "rose rose sky")
    traces = wild.run(*({"question": question} for question in questions))
    for trace, question in zip(traces, questions, strict=True):
        found = calls(trace)
        things = sorted(question.split())
        table = {"sky": "blue", "leaf": "green", "rose": "red"}
        assert found[:3] == [("colour", {"thing": thing}, {"colour": table[thing]}) for thing in things]
        colours = [table[thing] for thing in question.split()]
        assert found[3] == ("sum_up", {"colours": colours}, {"answer": "nice"})
        for call in trace.calls[:3]:
            assert call.label_logprobs is not None
            assert max(call.label_logprobs, key=call.label_logprobs.__getitem__) == call.outputs["colour"]
        assert trained(wild, trace)
    assert {name for name, message in asked(wild) if "Thing" in message} == {"colour"}


def test_a_bare_thread_is_refused_in_a_sentence_even_if_the_program_swallows_it() -> None:
    class Bare(Colours):
        def ask(self, things: list[str]) -> list[Any]:
            with ThreadPoolExecutor(2) as pool:
                jobs = [pool.submit(self.colour, thing=thing) for thing in things]
            return [job.result() for job in jobs if not job.exception()]

    with pytest.raises(ProgramError, match=r"from a thread that it started by itself.*use `dspy.Parallel`"):
        Wild(Bare, paint).one("sky leaf")


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


class Chain(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.think = dspy.Predict("question -> thought")
        self.say = dspy.Predict("thought -> answer")

    def forward(self, question: str) -> Any:
        return self.say(thought=self.think(question=question).thought)


def by_seed(prompt: str, request: Request) -> str:
    return f"{prompt} with seed {request.sampling.seed}"


@pytest.mark.parametrize("kind", ["BestOfN", "Refine"])
def test_of_several_attempts_the_chosen_one_is_traced(kind: str) -> None:
    seen: list[str] = []

    def reward(arguments: Any, prediction: Any) -> float:
        seen.append(prediction.answer)
        return float(len(set(seen)) == 3)

    def advise(prompt: str, request: Request) -> str:
        if request.adapter is None:
            return 'Discussion: none\nAdvice: {"think": "N/A", "say": "N/A"}'
        return by_seed(prompt, request)

    wild = Wild(lambda: getattr(dspy, kind)(module=Chain(), N=4, reward_fn=reward, threshold=1.0), advise)
    trace = wild.one("q")
    assert len(set(seen)) == 3, "each attempt samples anew"
    assert [(name, outputs) for name, _, outputs in calls(trace)] == [
        ("module.think", {"thought": trace.calls[1].inputs["thought"]}),
        ("module.say", {"answer": seen[2]}),
    ]
    assert trace.calls[0].inputs == {"question": "q"}


def test_several_completions_of_one_call_are_different_samples() -> None:
    class Vote(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.guess = dspy.Predict("question -> answer")

        def forward(self, question: str) -> Any:
            found = self.guess(question=question, config={"n": 3, "temperature": 0.7})
            return dspy.Prediction(answers=found.completions.answer)

    wild = Wild(Vote, by_seed)
    first, again = wild.one("q"), wild.one("q")
    assert len(set(first.prediction["answers"])) == 3
    assert first == again


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


OTHER = "openai/some-model"


class Own(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.say = dspy.Predict("question -> answer")
        self.say.lm = dspy.LM(OTHER)

    def forward(self, question: str) -> Any:
        return self.say(question=question)


class OwnAtCall(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.say = dspy.Predict("question -> answer")

    def forward(self, question: str) -> Any:
        try:
            return self.say(question=question, lm=dspy.LM(OTHER, num_retries=0, api_base="http://127.0.0.1:9"))
        except Exception:
            return dspy.Prediction(answer="offline")


class Streams(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.say = dspy.Predict("question -> answer")

    def forward(self, question: str) -> Any:
        async def read() -> Any:
            return [part async for part in dspy.streamify(self.say)(question=question)][-1]

        try:
            return asyncio.run(read())
        except Exception:
            return dspy.Prediction(answer="nothing came")


class Sees(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.say = dspy.Predict("image: dspy.Image -> answer")

    def forward(self, question: str) -> Any:
        return self.say(image=dspy.Image("data:image/png;base64,iVBORw0KGgo="))


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        (Own, f"Predictor `say` brings an LM of its own \\({OTHER}\\), which cannot be optimised"),
        (OwnAtCall, f"Predictor `say` was called with an LM of its own \\({OTHER}\\), which cannot be optimised"),
        (Streams, "The program streams, which cannot be optimised: call its modules plainly"),
        (Sees, "prompt holds a ImagePart, but the engine reads text alone"),
        (lambda: dspy.streamify(Chain()), "The program is a function, not a `dspy.Module`"),
        (dspy.Module, "has no predictor: nothing could be optimised"),
    ],
    ids=["own-lm", "own-lm-at-call", "streams", "image", "no-module", "no-predictor"],
)
def test_what_cannot_be_optimised_is_said_in_a_sentence(program: Any, sentence: str) -> None:
    with pytest.raises(ProgramError, match=sentence):
        Wild(program, by_seed).one("q")


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ("text", {"prediction": "text"}),
        ({"answer": float("nan")}, {"answer": "NaN"}),
        (dspy.Prediction(answer={date(2020, 1, 1)}, raw=b"\xff"), {"answer": ["2020-01-01"], "raw": "_w=="}),
    ],
    ids=["text", "mapping", "odd-values"],
)
def test_whatever_a_program_returns_can_be_written_down(value: Any, fields: Any, tmp_path: Any) -> None:
    class Returns(Chain):
        def forward(self, question: str) -> Any:
            super().forward(question)
            return value

    trace = Wild(Returns, by_seed).one("q")
    assert trace.prediction == fields
    write_traces(tmp_path / "traces", [trace])
    assert read_traces(tmp_path / "traces") == [trace]


def test_a_program_that_returns_nothing_failed() -> None:
    class Forgets(Chain):
        def forward(self, question: str) -> Any:
            super().forward(question)

    trace = Wild(Forgets, by_seed).one("q")
    assert (trace.score, trace.error) == (0.0, "The program returned nothing.")


def test_predict_says_in_a_sentence_why_a_program_failed() -> None:
    class Fails(Chain):
        def forward(self, question: str) -> Any:
            raise KeyError(question)

    wild = Wild(Fails, by_seed)
    with pytest.raises(ProgramError, match=r"The program failed on this input \(KeyError: 'q'\)"):
        wild.runner.predict(wild.state, {"question": "q"})


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ({"example": "x", "score": "1"}, "`score` is '1'"),
        ({"example": "x", "score": 1, "prediction": "y"}, "`prediction` is 'y'"),
        ({"example": "x", "score": 1, "calls": [{"predictor": "p", "inputs": [], "outputs": {}}]}, "`inputs` is"),
    ],
    ids=["score", "prediction", "inputs"],
)
def test_a_trace_of_other_types_is_refused_where_it_is_read(line: Any, wrong: str, tmp_path: Any) -> None:
    (tmp_path / "traces").write_text(json.dumps(line) + "\n")
    with pytest.raises(DataError, match=f"row 1: not a trace \\({wrong}"):
        read_traces(tmp_path / "traces")
