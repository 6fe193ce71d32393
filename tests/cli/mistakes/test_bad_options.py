"""What `bt` refuses before it imports or writes anything: one sentence, exit status 2."""

from pathlib import Path

import pytest

from tests.cli.conftest import Bt


@pytest.mark.parametrize(
    ("strategy", "sentence"),
    [
        ("", "The strategy is empty: write steps joined by `->`"),
        ("p -> q -> p", "Step 2 of strategy `p -> q -> p` is `q`, which is no step kind: use `p`"),
        ("p -> ", "Step 2 of strategy `p -> ` is empty"),
    ],
    ids=["empty", "unknown", "unfinished"],
)
@pytest.mark.parametrize("command", [["run", "--out", "run"], ["compile", "-o", "run"]], ids=["run", "compile"])
def test_a_wrong_strategy(command: list[str], strategy: str, sentence: str, bt: Bt, tmp_path: Path) -> None:
    ended = bt(*command, "--strategy", strategy)
    assert ended.status == 2
    assert ended.sentence.startswith(sentence)
    assert ended.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_config_with_several_mistakes_names_them_all(bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("rows:\n  train: 0\nw:\n  rnak: 8\nseed: one\n")
    ended = bt("run", "--config", "run.yaml", "--set", "p.candidates=none", "--out", "run")
    assert ended.status == 2
    assert ended.sentence.startswith("4 mistakes in the configuration: ")
    for key in ("`rows.train` is 0", "`w.rnak` is no setting", "`seed` is 'one'", "`p.candidates` is 'none'"):
        assert key in ended.sentence
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("task: [", "run.yaml, line 2: broken YAML; correct the line."),
        ("- task", "run.yaml holds a list, not a mapping of settings: write `key: value` lines."),
    ],
    ids=["broken", "list"],
)
def test_a_broken_config_file(text: str, sentence: str, bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(text + "\n")
    ended = bt("run", "--config", "run.yaml")
    assert (ended.status, ended.sentence) == (2, sentence)


def test_a_config_file_that_is_not_there(bt: Bt) -> None:
    ended = bt("run", "--config", "none.yaml")
    assert (ended.status, ended.sentence) == (2, "The config file none.yaml does not exist: check the path.")


def test_a_named_config_of_a_package_that_fails_on_import(bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").write_text("1 / 0\n")
    ended = bt("run", "--task", "broken.task:task", "--config", "paper")
    assert (ended.status, ended.out) == (2, "")
    assert ended.sentence == (
        "The package of task `broken.task:task` fails on import (ZeroDivisionError: division by zero): correct it."
    )


@pytest.mark.parametrize("name", ["result.json", "pipeline.yaml"])
def test_a_folder_that_holds_a_run_is_left_alone(name: str, bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text("old")
    ended = bt("run", "--out", "run")
    assert ended.status == 2
    assert (
        ended.sentence == f"The --out folder run already holds a run ({name}): name another one, nothing was written."
    )
    assert [path.name for path in (tmp_path / "run").iterdir()] == [name]
    assert (tmp_path / "run" / name).read_text() == "old"


def test_a_folder_that_holds_something_else_is_left_alone(bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    ended = bt("run", "--out", "photos")
    assert ended.status == 2
    assert "photos is not empty (a.png): name another one" in ended.sentence


def test_a_file_is_no_folder(bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("old")
    ended = bt("run", "--out", "notes")
    assert (ended.status, (tmp_path / "notes").read_text()) == (2, "old")
    assert "--out notes is a file" in ended.sentence


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("run", "--out", "notes/run"), "notes"),
        (("compile", "--strategy", "p", "--out", "folder"), "folder"),
        (("compile", "--strategy", "p", "--out", "notes/p.yaml"), "notes"),
        (("retrain", "--compile", "folder"), "folder"),
        (("reproduce", "--tasks", "iris", "--compile", "notes"), "notes"),
    ],
    ids=["run", "compile", "compile-below-a-file", "retrain", "reproduce"],
)
def test_a_path_that_cannot_be_written(arguments: tuple[str, ...], path: str, bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("old")
    (tmp_path / "folder").mkdir()
    ended = bt(*arguments)
    assert (ended.status, ended.out) == (2, "")
    assert ended.sentence.startswith(path)
    assert ended.sentence.endswith("): check the path.")
    assert sorted(found.name for found in tmp_path.rglob("*")) == ["folder", "notes"]
    assert (tmp_path / "notes").read_text() == "old"


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--seed", "-1"),
        ("run", "--train-rows", "0"),
        ("run", "--colour"),
        ("compile", "--strategy", "p"),
        ("walk",),
    ],
    ids=["negative-seed", "no-rows", "unknown-option", "no-output", "unknown-command"],
)
def test_a_wrong_option_is_a_usage_error(arguments: tuple[str, ...], bt: Bt, tmp_path: Path) -> None:
    ended = bt(*arguments)
    assert ended.status == 2
    assert "Usage: bt" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_an_address_where_no_mlflow_answers(bt: Bt) -> None:
    ended = bt("open", "http://127.0.0.1:9")
    assert (ended.status, ended.out) == (1, "")
    assert ended.sentence == (
        "No MLflow server with runs of ours answers at http://127.0.0.1:9 ([Errno 111] Connection refused): start one"
        " with `bt mlflow`."
    )


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": 2}'], ids=["broken", "list", "parts-missing"])
def test_a_report_of_what_is_no_sweep(content: str, bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(content)
    ended = bt("report", ".")
    assert (ended.status, ended.out) == (2, "")
    assert "name a sweep.json" in ended.sentence
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]


def test_predict_wants_named_inputs(bt: Bt) -> None:
    ended = bt("predict", "program", "city=Oslo", "Norway")
    assert ended.status == 2
    assert ended.sentence == "Inputs are written key=value, unlike 'Norway': write city=Nairobi."


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "The program needs inputs: write city=Nairobi, or name a file of rows with --rows, not both."),
        (["city=Oslo", "--rows", "a.csv"], "The program needs inputs: write city=Nairobi, or name a file of rows"),
        ([":=1"], "Inputs are written key=value, unlike ':=1': write city=Nairobi."),
        (
            ["n:=four"],
            "The input `n:=...` is no JSON (Expecting value at line 1, column 1): write cities:='[\"Oslo\"]'",
        ),
        (["n:=NaN"], "The input `n:=...` is no JSON (NaN is no JSON number): write"),
        (["n:=1", "n=2"], "The input `n` is given twice: give it once."),
    ],
    ids=range(6),
)
def test_inputs_of_predict_are_said_once_and_readably(arguments: list[str], sentence: str, bt: Bt) -> None:
    ended = bt("predict", "program", *arguments)
    assert ended.status == 2
    assert ended.sentence.startswith(sentence)


def test_mlflow_wants_a_folder_of_runs(bt: Bt) -> None:
    ended = bt("mlflow", "elsewhere")
    assert ended.status == 2
    assert ended.sentence.startswith("The folder elsewhere holds no tracked runs (mlflow.db)")
