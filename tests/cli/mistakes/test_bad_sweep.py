"""What `bt sweep` and its companions refuse before anything is run: one sentence, exit status 2."""

import json
import shlex
from pathlib import Path

import pytest

from bt_core.shared_files import claimed
from tests.cli.conftest import Bt

TASK = ("--task", "iris")
#: A sweep whose first task fails.
SAME = (*TASK, "--data", "none.jsonl", "--strategies", "p", "--seeds", "0", "--out", "sweep")


#: More strategies than one sweep may have: `p`, `p -> p` and so on.
SEVENTEEN = "; ".join(" -> ".join("p" * steps) for steps in range(1, 18))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--strategies", "p; q"], "Step 1 of strategy `q` is `q`, which is no step kind: use `p`"),
        (["--strategies", "p; p -> w; p->w"], "The strategy `p -> w` is named twice: name each strategy once."),
        (["--strategies", "p;; w"], "The strategy is empty"),
        (["--strategies", " "], "The sweep has no strategy"),
        (["--seeds", ""], "The sweep has no seed"),
        (["--seeds", "0,1,"], "`--seeds` takes whole numbers from 0 to 2^32 - 1, but was given ''"),
        (["--seeds", "0,-1"], "`--seeds` takes whole numbers from 0 to 2^32 - 1, but was given '-1'"),
        (["--seeds", "0,4294967296"], "`--seeds` takes whole numbers from 0 to 2^32 - 1, but was given '4294967296'"),
        (["--seeds", "1" * 5000], "`--seeds` takes whole numbers from 0 to 2^32 - 1, but was given '111"),
        (["--seeds", "\u0661"], "`--seeds` takes whole numbers from 0 to 2^32 - 1, but was given '\u0661'"),
        (["--seeds", "1, 1"], "The seed `1` is named twice"),
        (["--strategies", SEVENTEEN], "The sweep has 17 strategies, and one task can score 16: name fewer."),
        (["--margin", "1"], "--margin is 1.0: give a difference of scores between 0 and 1"),
        (["--margin", "nan"], "--margin is nan"),
        (["--budget", "0"], "--budget is 0: give a number of minutes above 0"),
        (["--budget", "nan"], "--budget is nan"),
        (["--set", "seed=3"], "The settings name a `seed`, and a sweep has several"),
        (["--set", "w.rnak=3"], "1 mistake in the configuration: `w.rnak` is no setting"),
    ],
)
def test_wrong_arguments(options: list[str], sentence: str, bt: Bt, tmp_path: Path) -> None:
    ended = bt("sweep", *TASK, *options, "--out", "sweep")
    assert (ended.status, ended.out) == (2, "")
    assert ended.sentence.startswith(sentence)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def begun(bt: Bt, tmp_path: Path) -> Path:
    """The folder of a sweep whose first task failed: it names data that are not there."""
    ended = bt("sweep", *SAME)
    assert ended.status == 2
    assert ended.err.splitlines()[-1] == "bt: The data file none.jsonl does not exist: check the path."
    assert not (tmp_path / "sweep" / "sweep.json").exists()
    return tmp_path / "sweep"


def test_other_arguments_in_the_same_folder(bt: Bt, begun: Path) -> None:
    before = {path: path.read_bytes() for path in begun.rglob("*") if path.is_file()}
    for other in (
        ["--seeds", "0,1"],
        ["--strategies", "p; w"],
        ["--margin", "0.1"],
        ["--looks", "2"],
        ["--set", "w.rank=2"],
    ):
        ended = bt("sweep", *SAME, *other)
        assert (ended.status, ended.out) == (2, "")
        assert ended.sentence.startswith(
            "The --out folder sweep holds a sweep of other arguments (bt sweep --task iris --strategies p --seeds 0 "
        )
        assert {path: path.read_bytes() for path in begun.rglob("*") if path.is_file()} == before


def test_a_folder_in_which_another_process_is_at_work(bt: Bt, begun: Path) -> None:
    left = begun / "artifacts" / "of the other process"
    left.mkdir()
    with claimed(begun) as is_ours:
        assert is_ours
        ended = bt("sweep", *SAME)
    assert ended.status == 2
    assert ended.sentence.endswith("is being run by another process: wait for it, or end it first.")
    assert left.exists()


def test_a_pipeline_of_another_version_in_the_same_folder(bt: Bt, begun: Path) -> None:
    with (begun / "pipeline.yaml").open("a") as file:
        file.write("# as another version would write it\n")
    ended = bt("sweep", *SAME)
    assert ended.status == 2
    assert ended.sentence.startswith("The --out folder sweep holds a sweep of another version (")


@pytest.mark.parametrize("content", ["", "[]", '{"command": "bt sweep"}'], ids=["empty", "list", "parts-missing"])
def test_a_folder_with_other_arguments_of_that_name(content: str, bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "arguments.json").write_text(content)
    ended = bt("sweep", *TASK, "--out", "sweep")
    assert (ended.status, ended.out) == (2, "")
    assert "sweep/arguments.json was not written by a sweep (" in ended.sentence
    assert [path.name for path in (tmp_path / "sweep").iterdir()] == ["arguments.json"]


def test_a_folder_of_something_else(bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    ended = bt("sweep", *TASK, "--out", "photos")
    assert (ended.status, ended.sentence.partition(":")[0]) == (
        2,
        "The --out folder photos is not empty and holds no sweep (a.png)",
    )
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.png"]


@pytest.mark.parametrize("looks", ["1", "2"])
def test_the_command_in_the_folder_does_the_same_again(looks: str, bt: Bt, tmp_path: Path) -> None:
    settings = ["--set", 'w.target_modules=["q_proj"]', "--set", 'decoding.stop=["a b"]', "--test-rows", "7"]
    first = bt(
        "sweep",
        "--task",
        "iris",
        "--data",
        "none.jsonl",
        "--strategies",
        "p",
        "--seeds",
        "4,0",
        "--looks",
        looks,
        *settings,
        "--out",
        "a",
    )
    one = json.loads((tmp_path / "a" / "arguments.json").read_text())
    again = bt(*shlex.split(one["command"])[1:], "--out", "b")
    two = json.loads((tmp_path / "b" / "arguments.json").read_text())
    assert (first.status, again.status) == (2, 2)
    assert one["parameters"] == two["parameters"]
    assert one["run_id"] != two["run_id"]
    assert (tmp_path / "a" / "pipeline.yaml").read_bytes() == (tmp_path / "b" / "pipeline.yaml").read_bytes()


@pytest.mark.parametrize("options", [[], ["--sweep", "--strategy", "p"]], ids=["neither", "both"])
def test_compile_wants_one_strategy_or_a_sweep(options: list[str], bt: Bt, tmp_path: Path) -> None:
    ended = bt("compile", "-o", "x.yaml", *options)
    assert ended.status == 2
    assert ended.sentence == "Name what to compile: either one --strategy, or --sweep."
    assert list(tmp_path.iterdir()) == []


def test_compile_a_sweep(bt: Bt, tmp_path: Path) -> None:
    options = ["--strategies", "p; p->w", "--seeds", "0,1", "--task", "my.module:task", "-o", "sweep.yaml"]
    ended = bt("compile", "--sweep", *options)
    assert (ended.status, ended.err) == (
        0,
        "Wrote the pipeline of a sweep of p; p -> w under seeds 0, 1 to sweep.yaml.\n",
    )
    assert "task: str [Default: 'my.module:task']" in (tmp_path / "sweep.yaml").read_text()


def test_report_wants_a_finished_sweep(bt: Bt) -> None:
    ended = bt("report", "elsewhere")
    assert ended.status == 2
    assert ended.sentence == "elsewhere holds no finished sweep (sweep.json): name the folder of one (`bt sweep`)."


@pytest.mark.parametrize(
    ("content", "sentence"), [("{", "cannot be read"), ('{"schema": 9}', "schema 9")], ids=["broken", "other-schema"]
)
def test_report_refuses_a_file_that_is_no_sweeps(content: str, sentence: str, bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(content)
    ended = bt("report", ".")
    assert ended.status == 2
    assert sentence in ended.sentence
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]


def test_open_wants_a_server(bt: Bt) -> None:
    ended = bt("open", "sqlite:///mlflow.db")
    assert (ended.status, ended.sentence.partition(":")[0]) == (2, "sqlite")
    ended = bt("open", "http://127.0.0.1:9")
    assert ended.status == 1
    assert ended.sentence.startswith("No MLflow server with runs of ours answers at http://127.0.0.1:9 (")
