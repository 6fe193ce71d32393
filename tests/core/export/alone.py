"""Programs of the built-in tasks, and an interpreter that runs their exported folders without any package of ours."""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bt_core.lm.states import vanilla_states
from bt_core.models import BaseModel
from bt_core.program import AdapterRef, Program, adapter_sha256, write_program
from bt_core.task import load_task

#: Refuses our packages, and shows first that it does. `-S` leaves out the file that makes an editable install.
_PRELUDE = """
import runpy, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("bt_"):
            raise ModuleNotFoundError(f"no {name} here")

sys.meta_path.insert(0, Refuse())
sys.path[:0] = [sys.argv[1], sys.argv[2]]
try:
    import bt_core
except ModuleNotFoundError:
    print("there is no bt_core", file=sys.stderr)
else:
    raise SystemExit("bt_core can be imported")
"""


def python_alone(folder: Path, code: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run code in an interpreter that finds an exported folder's modules and installed packages, but none of ours."""
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        _PRELUDE + code,
        str(folder),
        sysconfig.get_path("purelib"),
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "there is no bt_core" in done.stderr
    return done.stdout


def serve(folder: Path, rows: Sequence[Mapping[str, Any]], base: Path, *options: str) -> list[dict[str, Any]]:
    """The answers of the folder's serve.py."""
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    code = "sys.argv[:] = ['serve.py', *sys.argv[3:]]\nrunpy.run_path('serve.py', run_name='__main__')"
    out = python_alone(folder, code, "--rows", str(file), "--base", str(base), *options)
    return [json.loads(line) for line in out.splitlines()]


@dataclass(frozen=True)
class Made:
    """A program of a built-in task that no run made, and rows for it."""

    task: str
    rows: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    decoding: Mapping[str, Any] = field(default_factory=lambda: {"max_tokens": 12})
    demos: Mapping[str, tuple[dict[str, Any], ...]] = field(default_factory=dict)
    priors: Mapping[str, dict[str, float]] = field(default_factory=dict)
    without_adapter: Iterable[str] = ()

    def write(self, folder: Path, model: BaseModel, adapter: Path) -> Path:
        """Write the program directory."""
        reference = AdapterRef("adapter", adapter_sha256(adapter))
        states = {
            name: replace(
                state,
                demos=self.demos.get(name, ()),
                label_prior=self.priors.get(name),
                adapter=None if name in self.without_adapter else reference,
            )
            for name, state in vanilla_states(load_task(self.task, self.settings)).items()
        }
        settings = {"decoding": dict(self.decoding), "task_settings": dict(self.settings)}
        program = Program(self.task, model.id, model.revision, states, **settings)
        write_program(program, folder, {"adapter": adapter})
        return folder
