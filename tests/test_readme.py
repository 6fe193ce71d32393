"""The task in README.md is a whole one, and the figures printed below it are those of the built-in task it repeats."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from bt_core.lm.states import vanilla_states
from bt_core.task import Task, load_task

README = Path(__file__).parents[1] / "README.md"
MOST_LINES = 150


def test_it_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) < MOST_LINES


def test_its_task_is_the_built_in_one_again(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "locate.py").write_text(code, encoding="utf-8")
    spec = spec_from_file_location("locate", tmp_path / "locate.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    written, built_in = module.task, load_task("continents")
    assert isinstance(written, Task)
    assert vanilla_states(written) == vanilla_states(built_in)
    rows = written.data() if written.data else []
    assert rows == (built_in.data() if built_in.data else [])
    for setting in ("inputs", "labels", "stratify", "adapter", "config"):
        assert getattr(written, setting) == getattr(built_in, setting)
