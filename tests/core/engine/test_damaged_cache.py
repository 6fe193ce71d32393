"""What may happen to the file of the response cache: several processes, kills, full disks, and damage."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bt_core.config import EngineConfig
from bt_core.engine.base import Completion, Message, Request, Sampling
from bt_core.engine.cache_keys import base_identity
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.response_cache import CachedEngine, ResponseStore, _digest
from bt_core.records import Usage

ROOT = Path(__file__).parents[3]
IDENTITY = base_identity("model", "revision", EngineConfig(device="cpu"))
ASKED = [
    Request((Message("user", "Name a colour."),), sampling=Sampling(max_tokens=5)),
    Request((Message("user", "Name a colour."),), sampling=Sampling(temperature=1.0, max_tokens=5, seed=3)),
    Request((Message("user", "What colour is the sky?"),), labels=("red", "green", "blue")),
    Request((Message("user", "Name a colour."),), sampling=Sampling(max_tokens=5)),
    Request((Message("user", "Say it all. " * 300),), sampling=Sampling(max_tokens=5)),
]


def _process(script: str, *arguments: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT_HEAD + script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


SCRIPT_HEAD = """
import sys
from pathlib import Path
from bt_core.engine.base import Completion
from bt_core.engine.response_cache import ResponseStore

store = ResponseStore(Path(sys.argv[1]))
"""
WRITER = """
for batch in range(40):
    store.write({f"{batch}.{row}": Completion(f"{batch}.{row}") for row in range(8)})
    found = store.read([f"{batch}.{row}" for row in range(8)])
    assert all(found[key].text == key for key in found) and len(found) == 8
"""
OWN_WRITER = """
for batch in range(40):
    store.write({f"{sys.argv[2]}.{batch}.{row}": Completion("kept") for row in range(8)})
"""
ENDLESS = """
from itertools import count
for batch in count():
    store.write({f"{sys.argv[2]}.{batch}.{row}": Completion("x" * 2000) for row in range(8)})
    print(batch, flush=True)
"""
FULL = """
import resource
store.write({"small": Completion("kept")})
usual = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, usual[1]))
for batch in range(3):
    store.write({f"{batch}": Completion("x" * 100_000)})
assert store.read(["small"])["small"].text == "kept"
resource.setrlimit(resource.RLIMIT_FSIZE, usual)  # for what is written at the end, coverage's figures among it
"""


def test_processes_share_a_file(tmp_path: Path) -> None:
    writers = [_process(WRITER, tmp_path) for _ in range(4)]
    for writer in writers:
        assert (*writer.communicate(), writer.returncode) == ("", "", 0)
    assert len(_rows(tmp_path)) == 40 * 8


def _rows(folder: Path) -> dict[str, str]:
    """Every row, after SQLite's own check of the file."""
    file = sqlite3.connect(folder / "responses.sqlite")
    try:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return dict(file.execute("SELECT key, value FROM answers").fetchall())
    finally:
        file.close()


def test_a_kill_at_any_moment_leaves_whole_batches(tmp_path: Path) -> None:
    for life in range(3):
        writer = _process(ENDLESS, tmp_path, life)
        assert writer.stdout is not None
        for _ in range(5 + life):
            assert writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        rows = _rows(tmp_path)
        assert sum(key.startswith(f"{life}.") for key in rows) >= 8 * (5 + life)
        assert len(rows) % 8 == 0
        assert {json.loads(value)["text"] for value in rows.values()} == {"x" * 2000}
        assert len(ResponseStore(tmp_path).read(rows)) == len(rows)


def test_a_full_disk_ends_no_run_and_is_warned_about_once(tmp_path: Path) -> None:
    ended = _process(FULL, tmp_path)
    _, err = ended.communicate()
    assert ended.returncode == 0, err
    (warning,) = err.splitlines()
    assert warning.startswith(f"warning: The cache {tmp_path}/responses.sqlite cannot be written (")
    assert list(_rows(tmp_path)) == ["small"]


def _garbage(path: Path) -> None:
    path.write_bytes(b"not a database " * 1000)


def _hole(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))


@pytest.mark.parametrize("damage", [_garbage, _hole], ids=["garbage", "hole"])
def test_a_damaged_file_is_moved_aside(
    damage: Callable[[Path], None], tmp_path: Path, tiny_engine: TransformersEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer() -> tuple[list[Completion], Usage]:
        engine = CachedEngine(lambda: tiny_engine, ResponseStore(tmp_path), IDENTITY)
        return [replace(completion, cached=False) for completion in engine.generate(ASKED)], engine.usage

    before, _ = answer()
    ResponseStore(tmp_path).write({str(number): Completion("x" * 500) for number in range(100)})
    damage(tmp_path / "responses.sqlite")
    computed, usage = answer()
    assert computed == before
    assert usage.cached_calls == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: The cache {tmp_path}/responses.sqlite was damaged (")
    assert (tmp_path / "responses.sqlite.damaged").is_file()
    assert answer()[1].cached_calls == len(ASKED)
    assert capsys.readouterr().err == ""


def test_a_new_file_is_not_moved_aside_by_a_process_that_saw_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _garbage(tmp_path / "responses.sqlite")
    slow, fast = ResponseStore(tmp_path), ResponseStore(tmp_path)
    connect = slow._connect

    def late() -> sqlite3.Connection:
        monkeypatch.setattr(slow, "_connect", connect)
        fast.write({"fast": Completion("kept")})
        raise sqlite3.DatabaseError("what the slow process saw before the fast one was there")

    monkeypatch.setattr(slow, "_connect", late)
    slow.write({"slow": Completion("kept")})
    assert sorted(ResponseStore(tmp_path).read(["fast", "slow"])) == ["fast", "slow"]


def test_answers_whose_writing_finds_the_damage_are_kept(tmp_path: Path) -> None:
    _garbage(tmp_path / "responses.sqlite")
    ResponseStore(tmp_path).write({"paid": Completion("kept")})
    assert ResponseStore(tmp_path).read(["paid"])["paid"].text == "kept"


def test_processes_that_meet_a_damaged_file_at_once_keep_all_answers(tmp_path: Path) -> None:
    _garbage(tmp_path / "responses.sqlite")
    writers = [_process(OWN_WRITER, tmp_path, name) for name in range(4)]
    for writer in writers:
        assert writer.communicate()[0] == ""
        assert writer.returncode == 0
    assert len(_rows(tmp_path)) == 4 * 40 * 8


@pytest.mark.parametrize(
    "change",
    [{"text": 5}, {"ended": "boo"}, {"prompt_tokens": -1}, {"prompt_tokens": True}, {"more": 1}]
    + [{"label_logprobs": [value]} for value in ("x", True, float("nan"), float("inf"))],
    ids=str,
)
def test_a_row_of_another_form_is_none_of_ours(tmp_path: Path, change: dict[str, Any]) -> None:
    store = ResponseStore(tmp_path)
    store.write({"a": Completion("kept"), "b": Completion("kept")})
    value = json.dumps(json.loads(_rows(tmp_path)["b"]) | change)
    with closing(sqlite3.connect(store.path)) as file, file:
        file.execute("UPDATE answers SET value = ?, digest = ? WHERE key = 'b'", (value, _digest("b", value)))
    assert list(store.read(["a", "b"])) == ["a"]


@pytest.mark.parametrize(
    "change",
    [
        "value = '{\"words\": 3}'",
        "value = replace(value, 'green', 'wrong')",
        "value = replace(value, '-', '')",
        "digest = 'x'",
        "key = 'k' || substr(key, 2)",
    ],
)
def test_a_damaged_row_is_dropped_alone(tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]) -> None:
    kept = {name: Completion("green", label_logprobs=(-0.5, -1.0)) for name in "abc"}
    store = ResponseStore(tmp_path)
    store.write(kept)
    with closing(sqlite3.connect(store.path)) as file, file:
        file.execute(f"UPDATE answers SET {change} WHERE key = 'b'")
    found = store.read([*kept, "k"])
    assert found == {key: replace(kept[key], cached=True) for key in "ac"}
    warnings = capsys.readouterr().err
    assert warnings == f"warning: 1 of the answers in the cache {store.path} were damaged: they are computed again.\n"
    store.write(kept)
    assert sorted(store.read(kept)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_no_turned_bit_changes_an_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = {f"{number:02}": Completion(f"answer {number}", 10, number, (-0.125, -2.5)) for number in range(60)}
    ResponseStore(tmp_path / "whole").write(kept)
    whole = (tmp_path / "whole" / "responses.sqlite").read_bytes()
    chance = random.Random(0)
    lost = 0
    for number in range(300):
        position, bit = chance.randrange(len(whole)), chance.randrange(8)
        turned = whole[:position] + bytes([whole[position] ^ (1 << bit)]) + whole[position + 1 :]
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "responses.sqlite").write_bytes(turned)
        found = ResponseStore(folder).read(kept)
        assert all(replace(value, cached=False) == kept[key] for key, value in found.items()), (position, bit)
        lost += len(found) < len(kept)
    assert 0 < lost < 300
    assert "Traceback" not in capsys.readouterr().err
