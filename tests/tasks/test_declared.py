"""Tasks that a file declares."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import dspy
import pytest
from dspy.utils import DummyLM

from bt_cli.options.settings import gather
from bt_core.data import load_splits
from bt_core.errors import BtError, ConfigError, TaskError
from bt_core.program import read_program
from bt_core.steps.prepare import prepare
from bt_core.task import load_task

TRIAGE = """
description: route a message
modules:
  - {name: gist, signature: message -> summary, instructions: Say what it is about.}
  - {signature: "message, summary -> intent, urgent: bool", reasoning: true}
fields: {intent: what the customer wants}
labels: {intent: data}
metric: label_accuracy
data: rows.jsonl
columns: {message: text, intent: category}
stratify: intent
config: {rows: {train: 3, val: 3, test: 3}}
"""
ROWS = [{"text": f"message {n}", "category": ("lost", "found", "other")[n % 3]} for n in range(12)]

Write = Callable[..., Path]


@pytest.fixture
def triage(tmp_path: Path, write: Write) -> Path:
    """A declared task, its rows beside it."""
    write("rows.jsonl", ROWS)
    path = tmp_path / "triage.yaml"
    path.write_text(TRIAGE)
    return path


def test_its_modules_run_one_after_the_other(triage: Path) -> None:
    settings = gather({"task": str(triage)})
    task = load_task(settings.config.task, settings.config.task_settings)
    assert (task.name, task.inputs, task.labels, task.stratify) == ("triage", ("message",), ("intent",), "intent")
    module = task.program()
    assert [name for name, _ in module.named_predictors()] == ["gist", "intent.predict"]
    signature = module.intent.predict.signature
    assert get_args(signature.output_fields["intent"].annotation) == ("found", "lost", "other")
    assert signature.output_fields["urgent"].annotation is bool
    assert "what the customer wants" in str(signature.output_fields["intent"])
    answers = [{"summary": "a card"}, {"reasoning": "Hm.", "intent": "lost", "urgent": "True"}]
    with dspy.context(lm=DummyLM(answers), adapter=dspy.ChatAdapter()):
        found = module(message="Where is it?")
    assert found.toDict() == {"summary": "a card", "intent": "lost", "urgent": True}
    assert task.metric(dspy.Example(intent="lost"), found) == 1.0


def test_the_file_travels_in_the_configuration_and_in_the_program(triage: Path, tmp_path: Path) -> None:
    settings = gather({"task": str(triage), "seed": 3, "decoding.calibration": "none"})
    assert settings.config.task == "triage.yaml"
    assert settings.typed == {"seed": 3, "decoding": {"calibration": "none"}}, "a command need not repeat the file"
    travelling = json.loads(settings.parameters["config"]) | {"task": settings.parameters["task"]}
    triage.unlink()
    paths = [tmp_path / name for name in ("train", "val", "test")]
    config, report = prepare(travelling, *paths, tmp_path / "program")
    assert report.metrics["rows/val"] == 3
    (tmp_path / "rows.jsonl").unlink()  # later steps run where there are no rows
    state = read_program(tmp_path / "program")
    task = load_task(state.task, state.task_settings)
    assert state.task_settings == config.task_settings
    assert task.config["task_settings"]["known_labels"] == {"intent": ["found", "lost", "other"]}
    assert [name for name, _ in task.program().named_predictors()] == list(state.predictors)


def test_other_data_are_read_by_the_same_columns(triage: Path, write: Write) -> None:
    settings = gather({"task": str(triage)}).config
    task = load_task(settings.task, settings.task_settings)
    other = write("other.jsonl", [{"text": f"other {n}", "category": "lost"} for n in range(9)])
    sizes = settings.rows.model_copy(update={"train": 3, "val": 3, "test": 3})
    splits = load_splits(task, str(other), sizes, 0, task.config["columns"])
    assert {row["intent"] for row in splits["train"]} == {"lost"}
    own = load_splits(task, "", sizes, 0, task.config["columns"])
    assert own["train"][0]["message"].startswith("message ")


def test_a_split_may_have_a_file_of_its_own(triage: Path, write: Write) -> None:
    write("test.jsonl", [{"text": f"sealed {n}", "category": "other"} for n in range(3)])
    triage.write_text(TRIAGE.replace("data: rows.jsonl", "data: {train: rows.jsonl, test: test.jsonl}"))
    settings = gather({"task": str(triage)}).config
    task = load_task(settings.task, settings.task_settings)
    splits = load_splits(task, "", settings.rows.model_copy(update={"train": 6, "val": 6, "test": 3}), 0)
    assert all(row["message"].startswith("sealed") for row in splits["test"])
    assert {row["intent"] for row in splits["val"]} == {"lost", "found", "other"}


def test_a_program_of_one_module_needs_no_list() -> None:
    task = load_task(
        "score.yaml",
        {
            "name": "score",
            "signature": "text -> score: int",
            "labels": {},
            "metric": {"kind": "numeric", "label": "gold", "tolerance": 1},
            "format": "chat",
        },
    )
    assert (task.labels, task.data, task.adapter) == (("gold",), None, None)
    assert task.metric({"gold": 3}, dspy.Prediction(score=4)) == 1.0
    assert [name for name, _ in task.program().named_predictors()] == ["score"]


def test_a_field_may_be_called_as_the_program_calls_its_parts() -> None:
    task = load_task("t.yaml", {"name": "t", "signature": "text -> steps", "metric": "f1"})
    assert [name for name, _ in task.program().named_predictors()] == ["steps"]


MODULES: dict[str, Any] = {"signature": ""}
ONE = {"signature": "text -> answer"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"signatur": "a -> b"}, r"`signatur` is no setting"),
        ({"metric": "bleu"}, r"`metric\.kind` is 'bleu', but input should be 'exact_match'"),
        ({"metric": None}, r"`metric` is None"),
        ({"metric": "regex"}, r"The metric `regex` needs `metric\.pattern`"),
        ({"metric": {"kind": "f1", "field": "answr"}}, "has no field `answr`: correct its file"),
        ({"signature": "text, answer"}, r"'text, answer' of task `t` has no `->`"),
        ({"signature": "text -> answer: Picture"}, r"cannot be read at 'answer: Picture': write names"),
        ({"signature": "text -> an answer"}, "cannot be read at 'an answer'"),
        ({"signature": "text -> "}, "cannot be read at ''"),
        ({"signature": ""}, "needs either `signature` or `modules`"),
        ({"modules": [{"signature": "text -> answer"}]}, "needs either `signature` or `modules`"),
        ({"signature": "text -> forward"}, "cannot be called `forward`: give it another `name`"),
        ({"signature": "text, answer -> answer"}, "module `answer` of task `t` reads `answer` before one answers it"),
        (MODULES | {"modules": [ONE, ONE]}, "Two modules of task `t` are called `answer`: give one another `name`"),
        (MODULES | {"modules": [ONE | {"name": "an answer"}]}, "cannot be called `an answer`"),
        ({"labels": {"answer": "data"}}, "labels of `answer` should come from the data, but the file names none"),
        ({"labels": {"label": ["a", "b"]}}, "has no field `label`"),
        ({"labels": {"answer": "somewhere"}}, "`labels.answer"),
        ({"labels": {"answer": ["only"]}}, "fewer than two labels for `answer`"),
        ({"data": {"train": "x.jsonl"}}, r"`data\..*test` is missing"),
    ],
    ids=map(str, range(20)),
)
def test_a_mistake_in_the_file_is_one_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BtError, match=sentence) as caught:
        load_task("t.yaml", {"name": "t", "signature": "text -> answer", "metric": "f1"} | change)
    assert isinstance(caught.value, ConfigError | TaskError)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml does not exist"):
        gather({"task": "nowhere.yaml"})
    with pytest.raises(ConfigError, match=r"nowhere\.yaml does not exist"):
        load_task("nowhere.yaml")


def test_what_the_user_sets_wins_over_the_file(triage: Path) -> None:
    settings = gather({"task": str(triage)}, None, ["task_settings.format=chat"])
    assert settings.config.task_settings["format"] == "chat"
    assert settings.typed == {"task_settings": {"format": "chat"}}
