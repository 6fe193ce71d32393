"""Labels of declared tasks: what is written is the label, in YAML, in JSON, and with blanks around it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from bt_cli.options.settings import gather
from bt_core.data import collected_notes
from bt_core.errors import BtError
from bt_core.records import Row, read_jsonl
from bt_core.steps.prepare import prepare
from bt_core.task import load_task

Write = Callable[..., Path]


def options(task: Any) -> tuple[str, ...]:
    (predictor,) = task.program().predictors()
    return get_args(predictor.signature.output_fields["label"].annotation)


def prepared(folder: Path, task: Path, test: int = 2) -> tuple[tuple[str, ...], list[Row], tuple[str, ...]]:
    """The closed answers, all rows, and the warnings of a run that has got as far as its first step."""
    chosen = {"task": str(task), "rows.train": 4, "rows.val": 2, "rows.test": test, "decoding.calibration": "none"}
    settings = gather(chosen)
    paths = [folder / f"{name}.jsonl" for name in ("train", "val", "test")]
    config, report = prepare({**settings.chosen, "task": settings.config.task}, *paths, folder / "program")
    with collected_notes() as notes:
        later = load_task(config.task, config.task_settings)
    assert notes == [], "later steps say nothing again"
    return options(later), [row for path in paths for row in read_jsonl(path)], report.warnings


@pytest.mark.parametrize(
    "labels",
    [
        ["yes", "no"],
        ["NO", "SE"],
        ["on", "off"],
        ["true", "False"],
        ["1", "2", "3"],
        ["010", "1.0", "1e5", "0x1F", "1_000"],
        ["null", "x"],
        ["~", "Null", "None"],
        ["2026-01-01", "12:30"],
        [".inf", ".nan"],
        ["y", "n"],
    ],
    ids=lambda labels: labels[0],
)
@pytest.mark.parametrize("form", ["flow", "block", "quoted"])
def test_a_label_in_yaml_is_its_text(labels: list[str], form: str, tmp_path: Path) -> None:
    written = {
        "flow": f" [{', '.join(labels)}]",
        "block": "".join(f"\n    - {label}" for label in labels),
        "quoted": " " + json.dumps(labels),
    }[form]
    file = tmp_path / "t.yaml"
    file.write_text(f"signature: text -> label\nmetric: label_accuracy\nlabels:\n  label:{written}\n")
    assert options(load_task(str(file))) == tuple(labels)
    settings = gather({"task": str(file)}).config
    assert options(load_task(settings.task, settings.task_settings)) == tuple(labels)


def test_names_of_fields_and_columns_are_texts_too(tmp_path: Path) -> None:
    file = tmp_path / "2026.yaml"
    file.write_text(
        "{name: 2026, signature: on -> label, metric: label_accuracy, labels: {label: [1, 2]},"
        " fields: {on: yes}, columns: {on: no, label: 1}, stratify: on, group: on}"
    )
    task = load_task(str(file))
    assert (task.name, task.inputs, task.stratify, task.group) == ("2026", ("on",), "on", "on")
    assert task.config["columns"] == {"on": "no", "label": "1"}


def test_labels_in_json_may_be_values(tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    declared = {"signature": "text -> label", "metric": "label_accuracy"}
    file.write_text(json.dumps(declared | {"labels": {"label": [1, 2.5, True, None, "x"]}}))
    assert options(load_task(str(file))) == ("1", "2.5", "true", "null", "x")


@pytest.mark.parametrize("labels", ["somewhere", "3", "{a: b}"])
def test_labels_that_are_no_list_are_one_sentence(labels: str, tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(f"signature: text -> label\nmetric: label_accuracy\nlabels:\n  label: {labels}\n")
    with pytest.raises(BtError, match=r"`labels\.label"):
        load_task(str(file))


CITIES = ["Oslo", "Rome", "Bern", "Kobe", "Lima", "Graz", "Bonn", "Cork"]


@pytest.mark.parametrize("listed", ["data", "[north, south]", '["north ", south]'])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_labels_with_blanks_around_them_are_one_label(listed: str, suffix: str, tmp_path: Path, write: Write) -> None:
    labels = ["north", "south ", " south", "north"] * 2
    if suffix == "csv":
        lines = [f"{city},{label}\n" for city, label in zip(CITIES, labels, strict=True)]
        (tmp_path / "rows.csv").write_text("text,label\n" + "".join(lines))
    else:
        write("rows.jsonl", [{"text": c, "label": label} for c, label in zip(CITIES, labels, strict=True)])
    file = tmp_path / "t.yaml"
    file.write_text(
        f"signature: text -> label\nmetric: label_accuracy\nlabels: {{label: {listed}}}\n"
        f"data: rows.{suffix}\nstratify: label\n"
    )
    closed, rows, warnings = prepared(tmp_path, file)
    assert closed == ("north", "south")
    assert sorted(row["label"] for row in rows) == ["north"] * 4 + ["south"] * 4
    assert warnings[-1] == "The data of task `t` has 4 labels with blanks around it in `label`: they are taken off."
    assert len(warnings) == 1 + ("north " in listed)


@pytest.mark.parametrize("listed", ["data", "[1, 2]"])
def test_numbers_in_the_rows_are_the_labels_that_are_listed(listed: str, tmp_path: Path, write: Write) -> None:
    write("rows.jsonl", [{"text": city, "label": 1 + number % 2} for number, city in enumerate(CITIES)])
    file = tmp_path / "t.yaml"
    file.write_text(
        f"{{signature: text -> label, metric: label_accuracy, labels: {{label: {listed}}}, data: rows.jsonl}}"
    )
    closed, rows, warnings = prepared(tmp_path, file)
    assert (closed, {row["label"] for row in rows}, warnings) == (("1", "2"), {"1", "2"}, ())


@pytest.mark.parametrize("labels", [["010", "020"], ["NA", "EU"], ["None", "nan"], ["1e5", "1.0"], ["0", "1"]])
@pytest.mark.parametrize("listed", ["data", "listed"])
def test_labels_of_csv_are_what_is_written(labels: list[str], listed: str, tmp_path: Path) -> None:
    lines = [f"{number:05},{labels[number % 2]}\n" for number in range(8)]
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(lines))
    file = tmp_path / "t.yaml"
    written = "data" if listed == "data" else f"[{', '.join(labels)}]"
    file.write_text(
        f"{{signature: text -> label, metric: label_accuracy, labels: {{label: {written}}}, data: rows.csv}}"
    )
    closed, rows, warnings = prepared(tmp_path, file)
    assert (sorted(closed), warnings) == (sorted(labels), ())
    assert sorted(row["text"] for row in rows) == [f"{number:05}" for number in range(8)]
    assert {row["label"] for row in rows} == set(labels)


def test_an_open_answer_may_be_a_number(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("n,score\n" + "".join(f"0{number},{number}.50\n" for number in range(8)))
    file = tmp_path / "t.yaml"
    file.write_text('{signature: "n: int -> score: float", metric: numeric, data: rows.csv}')
    chosen = gather({"task": str(file), "rows.train": 4, "rows.val": 2, "rows.test": 2})
    paths = [tmp_path / f"{name}.jsonl" for name in ("train", "val", "test")]
    prepare({**chosen.chosen, "task": "t.yaml"}, *paths, tmp_path / "program")
    rows = [row for path in paths for row in read_jsonl(path)]
    assert sorted((row["n"], row["score"]) for row in rows) == [(number, number + 0.5) for number in range(8)]
