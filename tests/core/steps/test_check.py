"""`bt check`'s findings: each usual mistake is found, and a sound task has none."""

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest

from bt_core.config import resolve_config
from bt_core.engine.base import Completion, Request
from bt_core.errors import DataError, ProgramError
from bt_core.lm.adapters import LineAdapter
from bt_core.records import Row
from bt_core.steps.check.check import check
from bt_core.steps.check.cost import Measured, estimate
from bt_core.steps.check.report import CheckReport
from bt_core.strategy import parse_strategy
from bt_core.task import Task
from tests.core.scripted import Scripted

Colour = Literal["red", "green", "blue"]
COLOURS = ("red", "green", "blue")
SETTINGS = {"rows": {"train": 6, "val": 6, "test": 6}, "decoding": {"max_tokens": 8}}


class Paint(dspy.Module):
    """Two modules, the second one closed."""

    def __init__(self) -> None:
        super().__init__()
        self.gist = dspy.Predict(dspy.Signature("thing -> gist", "Say what it is."))
        colour = dspy.Signature("thing, gist -> colour: Colour", "Name its colour.", custom_types={"Colour": Colour})
        self.colour = dspy.Predict(colour)

    def forward(self, thing: str) -> Any:
        return self.colour(thing=thing, gist=self.gist(thing=thing).gist)


def rows(count: int = 18) -> list[Row]:
    return [{"thing": f"{COLOURS[n % 3]} thing number {n}", "colour": COLOURS[n % 3]} for n in range(count)]


def truthful(prompt: str, request: Request) -> str:
    return next((c for c in request.labels if f"Thing: {c}" in prompt), "a gist") if request.labels else "a gist"


def right(example: Any, prediction: Any) -> bool:
    return bool(example.colour == prediction.colour)


Check = Callable[..., CheckReport]


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Check a task that differs from a sound one in the given parts."""
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")

    def call(answer: Any = truthful, engine: Any = None, settings: Any = None, **parts: Any) -> CheckReport:
        sound: dict[str, Any] = {"program": Paint, "metric": right, "inputs": ("thing",), "labels": ("colour",)}
        sound |= {"data": rows, "adapter": LineAdapter, "config": SETTINGS, "stratify": "colour"}
        module = types.ModuleType("checked_task")
        monkeypatch.setattr(module, "task", Task("paint", **sound | parts), raising=False)
        monkeypatch.setitem(sys.modules, "checked_task", module)
        overrides = {"task": "checked_task:task", "model": str(tmp_path), **(settings or {})}
        return check(overrides, [parse_strategy("p -> w")], engine or Scripted(answer))

    return call


def said(report: CheckReport, severity: str = "mistake") -> str:
    return "\n".join(finding.sentence for finding in report.findings if finding.severity == severity)


def test_a_sound_task_has_no_mistake_and_shows_what_was_asked(checked: Check) -> None:
    report = checked(data=rows(60), settings=sizes(20, 20, 20))
    assert not report.is_spoilt
    assert said(report, "warning") == "All 3 rows score 1; three rows show little, but look at them."
    assert (report.predictors, report.rows) == (("gist", "colour"), {"train": 20, "val": 20, "test": 20})
    assert len(report.runs) == 3
    run = report.runs[0]
    assert [one.predictor for one in run.asked] == ["gist", "colour"]
    gist, colour = run.asked
    assert [message.content for message in gist.prompt] == ["Say what it is.", f"Thing: {run.row['thing']}"]
    assert (gist.completion, gist.closed, colour.closed) == ("a gist", False, True)
    assert (colour.completion, run.trace.prediction) == (run.row["colour"], {"colour": run.row["colour"]})
    assert [cost.strategy for cost in report.costs] == ["p -> w"]


def test_the_longest_row_is_among_the_three(checked: Check) -> None:
    long = [*rows(), {"thing": "a very long description of a red thing " * 5, "colour": "red"}]
    report = checked(data=lambda: {"train": long[6:], "val": rows()[:3], "test": rows()[3:6]}, settings=sizes(13, 3, 3))
    assert report.runs[-1].row == long[-1]


def sizes(train: int, val: int, test: int) -> dict[str, Any]:
    return {"rows": {"train": train, "val": val, "test": test}}


def nonsense(value: Any) -> Any:
    return lambda example, prediction: value


def raises(example: Any, prediction: Any) -> float:
    raise ZeroDivisionError("oh")


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        (nonsense(1), "The metric is 1 whatever the answer: it gives 1 to the labels of other rows too."),
        (nonsense(0), "The metric is 0 even for the rows' own labels: no answer can ever score."),
        (nonsense(0.6), "The metric gives the rows' own labels 0.6 at most, less than `bootstrap.threshold` (1)"),
        (nonsense(7), "The metric returned 7.0 on example thing="),
        (nonsense(None), "The metric returned None on example thing="),
        (raises, "The metric raises on a row's own labels (ZeroDivisionError: oh)."),
    ],
    ids=["always-1", "always-0", "below-threshold", "out-of-range", "none", "raises"],
)
def test_metrics_that_judge_nothing_are_mistakes(metric: Any, sentence: str, checked: Check) -> None:
    report = checked(metric=metric)
    assert report.is_spoilt
    assert sentence in said(report)


class Shaded(Paint):
    """Answers in a field that no predictor has."""

    def forward(self, thing: str) -> Any:
        return dspy.Prediction(shade=super().forward(thing).colour)


def test_a_metric_on_fields_that_no_predictor_has_is_not_tried_on_them(checked: Check) -> None:
    found = [{"thing": row["thing"], "gold": row["colour"]} for row in rows()]
    report = checked(
        program=Shaded,
        data=lambda: found,
        labels=("gold",),
        stratify="gold",
        metric=lambda example, prediction: example.gold == prediction.shade,
    )
    assert not report.is_spoilt
    assert "The metric could not be tried on the labels `gold`" in said(report, "warning")


def test_the_only_label_stands_for_the_outputs_where_none_has_its_name(checked: Check) -> None:
    found = [{"thing": row["thing"], "gold": row["colour"]} for row in rows(60)]
    parts = {"data": found, "labels": ("gold",), "stratify": "gold", "settings": sizes(20, 20, 20)}
    report = checked(metric=lambda example, prediction: example.gold == prediction.colour, **parts)
    assert not report.is_spoilt
    assert "could not be tried" not in said(report, "warning")
    wrong = checked(metric=lambda example, prediction: example.gold.upper() == prediction.colour, **parts)
    assert "The metric is 0 even for the rows' own labels: no answer can ever score." in said(wrong)


def test_labels_outside_the_options_are_a_mistake(checked: Check) -> None:
    report = checked(data=lambda: [{**row, "colour": row["colour"].title()} for row in rows()])
    assert "18 of 18 labels in `colour` are not among the options of the field of that name ('" in said(report)
    assert "the options are 'red', 'green', 'blue'): such a row can never be right." in said(report)


def test_a_label_that_never_changes_is_a_warning(checked: Check) -> None:
    report = checked(data=lambda: [{**row, "colour": "red"} for row in rows()])
    assert "Every row has the same label in `colour`: 'red'." in said(report, "warning")


def test_an_example_in_two_splits_is_refused_as_in_a_run(checked: Check) -> None:
    found = {"train": rows()[:6], "val": rows()[6:12], "test": [*rows()[12:17], rows()[0]]}
    with pytest.raises(DataError, match="The same example is in train"):
        checked(data=lambda: found)


def test_near_duplicates_across_splits_and_duplicates_in_a_split_are_warnings(checked: Check) -> None:
    twin = {"thing": "RED  thing number 0!", "colour": "red"}
    found = {"train": rows()[:6], "val": [*rows()[6:11], rows()[6]], "test": [*rows()[12:17], twin]}
    report = checked(data=lambda: found)
    assert (
        "1 examples are in two splits when case, spaces and punctuation are ignored, the first in test and train"
        in said(report, "warning")
    )
    assert "1 rows of val have the inputs of another of its rows." in said(report, "warning")


class Idle(Paint):
    """Calls one of its modules, and one that it makes in `forward`."""

    def forward(self, thing: str) -> Any:
        gist = dspy.Predict("thing -> idea")(thing=thing).idea
        return self.colour(thing=thing, gist=gist)


def test_a_predictor_that_is_not_called_and_one_made_inside_forward(checked: Check) -> None:
    found = said(checked(program=Idle), "warning")
    assert "Predictor `gist` was called on none of the 3 rows." in found
    assert "The program makes a predictor while it runs (thing -> idea" in found


class Keeps(Paint):
    """Keeps values of one example on the module, which all examples share."""

    def forward(self, thing: str) -> Any:
        self.thing = thing
        return super().forward(self.thing)


def test_a_program_that_keeps_state_on_its_module(checked: Check) -> None:
    assert "The program keeps `thing` on its module while it runs" in said(checked(program=Keeps), "warning")


class Outside(Paint):
    """Calls another LM directly."""

    def forward(self, thing: str) -> Any:
        try:
            dspy.LM("openai/elsewhere", num_retries=0, api_base="http://127.0.0.1:9", api_key="none")("hello")
        except Exception:
            return super().forward(thing)


def test_an_lm_outside_the_program(checked: Check) -> None:
    assert "The program also calls openai/elsewhere, an LM outside its predictors" in said(
        checked(program=Outside), "warning"
    )


class Bare(Paint):
    """Calls the run's own model directly, without a predictor."""

    def forward(self, thing: str) -> Any:
        (hint,) = dspy.settings.lm("hello")
        assert hint == "a gist"
        return super().forward(thing)


def test_direct_calls_of_the_runs_own_model_are_warnings(checked: Check) -> None:
    report = checked(program=Bare)
    assert {run.trace.error for run in report.runs} == {None}
    assert f"The program also calls bt/{report.model}, an LM outside its predictors" in said(report, "warning")


def test_a_program_that_cannot_be_optimised_ends_the_check(checked: Check) -> None:
    with pytest.raises(ProgramError, match=r"not a `dspy\.Module`"):
        checked(program=lambda: dspy.streamify(Paint()))


def test_a_program_that_fails_on_every_row(checked: Check) -> None:
    report = checked(program=lambda: dspy.Predict("thing -> colour: int"), answer=lambda prompt, request: "many")
    assert report.is_spoilt
    assert "3 of 3 examples failed and scored 0, the first" in said(report)
    assert "AdapterParseError" in said(report)


def test_answers_that_are_cut_or_empty(checked: Check) -> None:
    report = checked(lambda prompt, request: truthful(prompt, request) if request.labels else "word " * 8)
    assert "3 of 3 answers of `gist` were cut at `decoding.max_tokens` (8)" in said(report, "warning")
    empty = checked(lambda prompt, request: truthful(prompt, request) if request.labels else "")
    assert "3 of 3 answers of `gist` were empty." in said(empty, "warning")


class Short(Scripted):
    """An engine with a short context."""

    context_length = 40


class TooShort(Scripted):
    """An engine whose context is too short for the prompts."""

    def _one(self, request: Request) -> Completion:
        return Completion("", 50, error="prompt and answer need 58 tokens, the model's context holds 40")


def test_prompts_over_the_context_length_now_and_with_demonstrations(checked: Check) -> None:
    report = checked(engine=TooShort(truthful))
    assert "A prompt of `gist` does not fit the model (prompt and answer need 58 tokens" in said(report)
    report = checked(engine=Short(truthful))
    assert not report.is_spoilt
    found = said(report, "warning")
    assert "With 3 demonstrations of that length a prompt of `colour` would need about " in found
    assert "and the model's context holds 40: lower `p.max_demos`." in found


class Described(dspy.Signature):
    """Name its colour."""

    thing: str = dspy.InputField(desc="as the customer wrote it")
    colour: Colour = dspy.OutputField()


@pytest.mark.parametrize("adapter", [LineAdapter, None], ids=["line", "chat"])
def test_descriptions_that_the_prompt_leaves_out(adapter: Any, checked: Check) -> None:
    report = checked(program=lambda: dspy.Predict(Described), adapter=adapter)
    missing = "The description of `self`'s field `thing` is not in its prompt" in said(report, "warning")
    assert missing == (adapter is LineAdapter)
    assert "holds the empty description" not in said(report, "warning"), "DSPy leaves its placeholders out"


def test_the_cost_of_a_strategy_by_the_formula() -> None:
    measured = Measured(calls=2, prompt_tokens=100, completion_tokens=10, demo_tokens=50, train_tokens=120)
    config = resolve_config(
        {
            "task": "paint",
            "rows": {"train": 10, "val": 20, "test": 30},
            "p": {"candidates": 3, "max_demos": 3},
            "w": {"epochs": 2, "holdout": 0.1},
        }
    )
    prompt = estimate(parse_strategy("p"), config, measured)
    # 10 train rows, 4 candidates on 20 rows, 30 test rows by two programs.
    assert prompt.runs == 10 + 4 * 20 + 2 * 30
    demos = 20 * (3 + 2 + 2) + 30 * 3
    assert (prompt.lm_calls, prompt.prompt_tokens) == (2 * prompt.runs, 100 * prompt.runs + 50 * demos)
    weights = estimate(parse_strategy("w"), config, measured)
    assert (weights.runs, weights.train_tokens) == (10 + 20 + 20 + 2 * 30, round(2 * 10 * 0.9 * 120))
    both = estimate(parse_strategy("p -> w"), config, measured)
    assert both.runs == prompt.runs + 10 + 20, "validation before `w` is known from `p`"
    assert both.prompt_tokens == 100 * both.runs + 50 * (demos + 10 * 3), "what `p` left may be shipped"
    evolved, again = (estimate(parse_strategy(text), config, measured) for text in ("g", "g -> p"))
    assert again.runs == evolved.runs + 10 + 5 * 20, "the instructions that `g` left are a candidate of `p`"
    calibrated = config.model_copy(update={"decoding": config.decoding.model_copy(update={"calibration": "train"})})
    assert estimate(parse_strategy("p"), calibrated, measured).runs == prompt.runs + 10 + 4 * 10


def test_what_rows_cost_is_measured(checked: Check) -> None:
    measured = checked().measured
    assert measured is not None
    assert (measured.calls, measured.prompt_tokens, measured.completion_tokens) == (2.0, 20.0, 2.0)
    assert 0 < measured.demo_tokens < measured.train_tokens


def test_what_was_read_otherwise_is_said(checked: Check) -> None:
    """Labels with blanks around them, and an input with two answers, spoil no run, but a person should know."""
    given = rows()
    given[0] |= {"colour": "red "}
    given.append(given[1] | {"colour": "blue"})
    said = [finding.sentence for finding in checked(data=given).findings if finding.severity == "warning"]
    assert any("has 1 label with blanks around it in `colour`: they are taken off" in sentence for sentence in said)
    assert any("has 1 input with more than one answer, the first in rows 2 and 19" in sentence for sentence in said)
