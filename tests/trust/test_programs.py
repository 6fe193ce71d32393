"""What a stranger's program names is neither imported, nor asked, nor read, unless the user named it too."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bt_core.bundle import fetch, publish
from bt_core.bundle.made_task import load_made_task, naming_options
from bt_core.config import Section
from bt_core.errors import BtError, ProgramError
from bt_core.program import read_program
from bt_core.steps.predict import predict
from bt_core.steps.prepare import prepare
from bt_core.steps.stage import Stage
from bt_core.task import Task, TaskFactory
from tests.cli.conftest import Bt
from tests.core import toy
from tests.s3 import Server, use
from tests.tasks.service import Service
from tests.trust.conftest import DECLARED, SECRET, Stranger

EVIL = "from pathlib import Path\nPath('imported').touch()\ntask = None\n"


class Own(Section):
    """The settings of a user's own task."""

    host: str = ""
    hops: int = 1


own = TaskFactory(Own, lambda settings: toy.make(name=f"own {settings.host} {settings.hops}"))


@pytest.fixture
def evil_module(bt: Bt, tmp_path: Path) -> str:
    """A module in the current folder, as where a stranger's archive was unpacked; its import leaves a file."""
    (tmp_path / "evil_module.py").write_text(EVIL)
    return "evil_module:task"


@pytest.mark.parametrize("where", ["folder", "bundle", "s3"])
@pytest.mark.parametrize("command", ["predict", "run"])
def test_no_module_is_imported_on_a_programs_word(
    command: str,
    where: str,
    evil_module: str,
    stranger: Stranger,
    bt: Bt,
    tmp_path: Path,
    s3: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, s3.endpoint)
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "cache"))
    to = {"folder": "", "bundle": str(tmp_path / "bundle"), "s3": f"s3://data/{tmp_path.name}"}[where]
    place = to or str(stranger(evil_module))
    stranger(evil_module, to=to)
    ended = bt("predict", place, "question=x") if command == "predict" else bt("run", "--from", place, "--out", "out")
    assert (ended.status, ended.out) == (2, "")
    assert ended.sentence.endswith("you name it too: add --task evil_module:task if you trust it.")
    assert not (tmp_path / "imported").exists()
    assert "evil_module" not in sys.modules
    assert not (tmp_path / "out").exists()


def test_the_factory_of_declared_tasks_is_no_way_round(stranger: Stranger, bt: Bt) -> None:
    program = stranger("bt_tasks.support.declared:task", DECLARED)
    assert "add --task bt_tasks.support.declared:task" in bt("predict", program, "question=x").sentence


def test_no_file_is_read_on_a_programs_word(stranger: Stranger, bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "private.yaml").write_text(f"metric: {SECRET}\n")
    program = stranger(str(tmp_path / "private.yaml"))
    ended = bt("predict", program, "question=x")
    assert (ended.status, SECRET in ended.err) == (2, False)
    assert "is loaded only where you name it too: add --task" in bt("run", "--from", program).sentence


def test_a_run_may_name_the_task_in_its_settings(stranger: Stranger, bt: Bt, evil_module: str) -> None:
    ended = bt("run", "--from", stranger(evil_module), "--set", "task=other:task", "--set", "rows.train=x")
    assert "`rows.train` is 'x'" in ended.sentence, "the program's own task was not asked for"


JUDGE = {"kind": "judge", "model": "m", "key_variable": "JUDGE_KEY"}


def _prepared(folder: Path, program: Path, task: str, **settings: Any) -> None:
    splits = (folder / f"{name}.jsonl" for name in ("train", "val", "test"))
    prepare({"task": task, "start": str(program), **settings}, *splits, folder / "vanilla")


def test_a_programs_judge_gets_neither_key_nor_rows(
    stranger: Stranger, bt: Bt, listener: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JUDGE_KEY", SECRET)
    endpoint = f"{listener.url}/v1"
    program = stranger("spy.yaml", {**DECLARED, "metric": JUDGE | {"endpoint": endpoint}})
    named = f"--set task_settings.metric.endpoint={endpoint} --set task_settings.metric.key_variable=JUDGE_KEY"
    assert f"add {named} if you trust that, or --task FILE" in bt("predict", program, "question=x").sentence
    with pytest.raises(ProgramError, match=r"sets `task_settings\.metric\.endpoint`, `task_settings\.metric\.key_var"):
        _prepared(tmp_path, program, "spy.yaml")
    (tmp_path / "spy.yaml").write_text(json.dumps(DECLARED))
    ended = bt("run", "--from", program, "--task", "spy.yaml", "--strategy", "p", "--out", "out")
    assert "task_settings.metric.endpoint" not in ended.err, "the user's file has another metric, which is used"
    assert listener.requests == []


def test_a_program_adds_no_key_to_the_users_own_judge(stranger: Stranger, listener: Service) -> None:
    users = {**DECLARED, "metric": {"kind": "judge", "model": "m", "endpoint": listener.url}}
    merged = {**users, "metric": users["metric"] | {"key_variable": "OTHER_KEY"}}
    with pytest.raises(ProgramError, match=r"sets `task_settings\.metric\.key_variable`, which may name"):
        load_made_task("spy.yaml", merged, {"task": "spy.yaml", "task_settings": users}, "p")
    assert load_made_task("spy.yaml", users, {"task": "spy.yaml", "task_settings": users}, "p").name == "spy"


@pytest.mark.parametrize(
    "outside",
    [
        {"config": {"engine": {"kind": "server", "url": "http://evil/v1", "key_variable": "MY_KEY"}}},
        {"config": {"teacher": {"model": "m"}}},
        {"config": {"data": "hub:evil/rows"}},
        {"config": {"model": "evil/model"}},
        {"config": {"trainjob": {"image": "evil"}}},
        {"data": "hub:evil/rows"},
        {"data": {"train": "/etc/passwd", "test": "/etc/passwd"}},
    ],
    ids=lambda outside: json.dumps(outside)[:40],
)
def test_a_declaration_in_a_program_reaches_nothing(
    outside: dict[str, Any], stranger: Stranger, tmp_path: Path
) -> None:
    program = stranger("spy.yaml", DECLARED | outside)
    with pytest.raises(ProgramError, match="which may name something outside of it and is used only where you set it"):
        _prepared(tmp_path, program, "spy.yaml")
    if "config" in outside:
        with pytest.raises(ProgramError, match=r"sets `task_settings\.config"):
            predict(program, {"question": "x"})


def test_the_data_of_a_declared_program_are_not_read_to_predict(stranger: Stranger) -> None:
    labels = {"labels": {"answer": "data"}, "data": "/etc/passwd"}
    with pytest.raises(BtError, match="the file names none: list them"):
        predict(stranger("spy.yaml", DECLARED | labels), {"question": "x"})


def test_a_built_in_tasks_addresses_are_the_users(stranger: Stranger, bt: Bt, listener: Service) -> None:
    program = stranger("hotpotqa", {"retriever": listener.url, "passages": 2, "prompt": "paper"})
    ended = bt("predict", program, "question=x")
    assert f"add --set task_settings.retriever={listener.url} if you trust that." in ended.sentence
    chosen = {"task_settings": {"retriever": "http://mine"}}
    task = load_made_task("hotpotqa", {"retriever": listener.url, "passages": 2}, chosen, "p")
    assert task.program().search.url == "http://mine"
    assert listener.requests == []


def test_texts_in_the_settings_of_a_users_task_are_the_users() -> None:
    name = f"{__name__}:own"
    with pytest.raises(ProgramError, match=r"add --set task_settings\.host=evil\.example if you trust that"):
        load_made_task(name, {"host": "evil.example", "hops": 2}, {"task": name}, "p")
    chosen = {"task": name, "task_settings": {"host": "mine"}}
    assert load_made_task(name, {"host": "evil.example", "hops": 2}, chosen, "p").name == "own mine 2"
    assert naming_options(name, {"host": "mine", "hops": 2}) == ["--task", name, "--set", "task_settings.host=mine"]
    assert naming_options("continents", {}) == []


def test_a_champion_from_elsewhere_is_held_to_the_settings_of_the_run(stranger: Stranger) -> None:
    from bt_core.config import resolve_config

    program = stranger("hotpotqa", {"retriever": "http://evil"})
    with pytest.raises(ProgramError, match=r"sets `task_settings\.retriever`"):
        Stage.open("challenge", "challenge", program, resolve_config({"task": "hotpotqa"}))
    mine = resolve_config({"task": "hotpotqa", "task_settings": {"retriever": "http://mine"}})
    assert isinstance(Stage.open("challenge", "challenge", program, mine).task, Task)
    with pytest.raises(ProgramError, match="was made for task `hotpotqa`"):
        Stage.open("challenge", "challenge", program, resolve_config({"task": "gsm8k"}))


def test_nothing_else_in_a_bundle_is_used(
    stranger: Stranger, bt: Bt, tmp_path: Path, s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pickles, code and wheels beside the program are copied and left alone."""
    use(monkeypatch, s3.endpoint)
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "cache"))
    folder, mark = stranger("continents"), tmp_path / "went-off"
    publish(folder, str(tmp_path / "bundle"))
    code = f"open({str(mark)!r}, 'w')"
    bomb = f"cbuiltins\nexec\n(V{code}\ntR."
    extra = {"adapter_model.bin": bomb, "task.py": code, "sitecustomize.py": code, "evil-1-py3-none-any.whl": "PK"}
    for name, content in extra.items():
        (tmp_path / "bundle" / name).write_text(content)
    from bt_core.bundle.manifest import Manifest

    (tmp_path / "bundle" / "manifest.json").unlink()
    (tmp_path / "bundle" / "manifest.json").write_text(Manifest.of(tmp_path / "bundle").dump())
    for path in (tmp_path / "bundle").rglob("*"):
        s3.client.upload_file(str(path), "data", f"{tmp_path.name}/{path.relative_to(tmp_path / 'bundle')}")
    address, before = f"s3://data/{tmp_path.name}", list(sys.path)
    assert read_program(fetch(address)).task == "continents"
    assert bt("show", address).status == 0
    ended = bt("predict", address, "question=x")
    assert "input `city` is missing" in ended.sentence
    assert [entry for entry in sys.path if "programs" in entry and entry not in before] == []
    assert not mark.exists()


def test_a_program_names_no_wheel(stranger: Stranger, bt: Bt) -> None:
    program = stranger("continents")
    value = json.loads((program / "program.json").read_text())
    (program / "program.json").write_text(json.dumps(value | {"wheel": "s3://evil/evil-1-py3-none-any.whl"}))
    ended = bt("predict", program, "city=Oslo")
    assert ended.status == 2
    assert "wheel" in ended.sentence
