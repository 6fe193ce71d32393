"""What `bt sweep --extend` refuses before anything is run: one sentence, exit status 2."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Bt
from tests.report.sweeps import as_sweep, ordinary

SETTINGS = {"data": "none.jsonl", "rows": {"train": 4}}
ARGUMENTS = {
    "command": "bt sweep --task iris --strategies 'p; p -> w' --seeds 2,0 --margin 0.05 --looks 2",
    "parameters": {"task": "iris", "config": json.dumps(SETTINGS), "margin": 0.05, "look": 1, "looks": 2},
    "run_id": "first-1",
}


def finished(folder: Path, number: int = 1, planned: int = 2) -> Path:
    """The folder of a finished sweep with 300 test rows under the seeds 2 and 0."""
    content = ordinary({"p": 0.6, "p -> w": 0.61}, seeds=(2, 0))
    content["look"] = {"number": number, "planned": planned, "total_alpha": 0.05}
    as_sweep(content).write(folder / "sweep.json")
    (folder / "arguments.json").write_text(json.dumps(ARGUMENTS))
    return folder


def _arguments(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "arguments.json").read_text())
    return content


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "Nothing is added to the sweep in first: give more with --test-rows or --seeds."),
        (["--seeds", "0,2", "--test-rows", "300"], "Nothing is added to the sweep in first"),
        (["--test-rows", "299"], "--test-rows 299 is fewer than the 300 of the sweep in first: name a larger number."),
        (["--seeds", "0,1,3"], "--seeds leaves out seed 2 of the sweep in first: name all of 2,0, and more."),
        (["--seeds", ""], "--seeds leaves out seed 2"),
        (["--seeds", "2,0,1,1"], "The seed `1` is named twice"),
        (["--seeds", "2,0,x"], "`--seeds` takes whole numbers from 0 to 2^32 - 1, but was given 'x'"),
        (
            ["--test-rows", "400", "--task", "iris"],
            "--extend takes everything but --seeds and --test-rows from the sweep",
        ),
        (["--test-rows", "400", "--set", "w.rank=2"], "--extend takes everything but --seeds and --test-rows"),
        (["--test-rows", "400", "--looks", "2"], "--extend takes everything but --seeds and --test-rows"),
    ],
)
def test_what_does_not_only_add(options: list[str], sentence: str, bt: Bt, tmp_path: Path) -> None:
    finished(tmp_path / "first")
    ended = bt("sweep", "--extend", "first", *options)
    assert (ended.status, ended.out) == (2, "")
    assert ended.sentence.startswith(sentence)
    assert [path.name for path in tmp_path.iterdir()] == ["first"]
    assert not (tmp_path / "first" / "extension.json").exists()


@pytest.mark.parametrize(
    ("number", "planned", "sentence"),
    [
        (1, 1, "The sweep in first was planned with one look (without `--looks 2`), and a second one would make more"),
        (
            2,
            2,
            "The sweep in first is the second and last look of its plan already: test on rows that no look has seen",
        ),
    ],
    ids=["not-planned", "second"],
)
def test_a_look_that_was_not_planned(number: int, planned: int, sentence: str, bt: Bt, tmp_path: Path) -> None:
    finished(tmp_path / "first", number, planned)
    ended = bt("sweep", "--extend", "first", "--test-rows", "400")
    assert ended.status == 2
    assert ended.sentence.startswith(sentence)


def test_a_sweep_that_is_not_finished(bt: Bt, tmp_path: Path) -> None:
    (finished(tmp_path / "first") / "sweep.json").unlink()
    ended = bt("sweep", "--extend", "first", "--test-rows", "400")
    assert ended.status == 2
    assert ended.sentence.startswith("--extend first holds no finished sweep (sweep.json): finish it with the command")


def test_a_sweep_without_its_arguments(bt: Bt, tmp_path: Path) -> None:
    (finished(tmp_path / "first") / "arguments.json").unlink()
    ended = bt("sweep", "--extend", "first", "--test-rows", "400")
    assert ended.status == 2
    assert ended.sentence.endswith(
        "first/arguments.json is missing, which `bt sweep` writes: name the folder that `bt sweep` wrote."
    )


def test_more_looks_than_two(bt: Bt, tmp_path: Path) -> None:
    ended = bt("sweep", "--task", "iris", "--looks", "3", "--out", "sweep")
    assert ended.status == 2
    assert "--looks" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_an_extension_that_fails_before_a_test_row_was_scored_may_be_begun_anew(bt: Bt, tmp_path: Path) -> None:
    """Its data are missing, so that its first task fails."""
    first = finished(tmp_path / "first")
    for out in ("second", "other"):
        ended = bt("sweep", "--extend", "first", "--test-rows", "400", "--out", out)
        assert ended.status == 2
        assert ended.err.splitlines()[-1] == "bt: The data file none.jsonl does not exist: check the path."
        assert not (first / "extension.json").exists()


def test_a_second_extension_of_one_sweep(bt: Bt, tmp_path: Path) -> None:
    first = finished(tmp_path / "first")
    (first / "extension.json").write_text(json.dumps({"out": str(tmp_path / "second")}))
    ended = bt("sweep", "--extend", "first", "--test-rows", "400", "--out", "third")
    assert (ended.status, ended.out) == (2, "")
    assert ended.sentence == (
        f"The sweep in {first} has been extended once, as it was planned, in {tmp_path / 'second'}: go on there (--out)"
        ", or test on rows that no look has seen (docs/sweep.md)."
    )
    assert not (tmp_path / "third").exists()
    again = bt("sweep", "--extend", "first", "--test-rows", "400", "--out", "second")
    assert again.err.splitlines()[-1] == "bt: The data file none.jsonl does not exist: check the path.", "it goes on"
    assert (first / "extension.json").exists(), "an earlier call may have scored rows"


def test_everything_but_rows_and_seeds_is_that_of_the_first_look(bt: Bt, tmp_path: Path) -> None:
    finished(tmp_path / "first")
    bt("sweep", "--extend", "first", "--test-rows", "400", "--seeds", "5,0,2")
    begun = _arguments(tmp_path / "first-extended")
    config = json.loads(begun["parameters"].pop("config"))
    assert config == {"data": "none.jsonl", "rows": {"train": 4, "test": 400}}
    command = f"{ARGUMENTS['command']} --out first && bt sweep --extend first --seeds 2,0,5 --test-rows 400"
    assert begun["command"] == command == json.loads(begun["parameters"].pop("command"))
    assert begun["parameters"] == {"task": "iris", "margin": 0.05, "look": 2, "looks": 2}
    pipeline = (tmp_path / "first-extended" / "pipeline.yaml").read_text()
    assert "Compares the strategies p; p -> w (" in pipeline
    assert "under seeds 2, 0, 5." in pipeline, "the first seed draws the splits of both looks"
    assert begun["run_id"] != ARGUMENTS["run_id"]
