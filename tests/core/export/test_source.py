"""A program's source is copied out of its modules: all that it needs, nothing of ours, and one sentence where not."""

import importlib
import runpy
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bt_core.errors import ProgramError
from bt_core.export.values import Source

Project = Callable[..., Any]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Writes modules of a user's project, and imports the last one."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []

    def write(**modules: str) -> Any:
        for name, text in modules.items():
            path = tmp_path / (name.replace(".", "/") + ".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
            names.append(name.removesuffix(".__init__"))
        importlib.invalidate_caches()
        return importlib.import_module(names[-1])

    yield write
    for name in [*names, *{name.partition(".")[0] for name in names}]:
        sys.modules.pop(name, None)


def text_of(value: Any, folder: Path, home: str = "") -> str:
    source = Source(folder, home)
    source.define("made", value)
    return source.text()


def run(text: str, folder: Path) -> dict[str, Any]:
    """The names of the copied file, which imports none of the project's modules."""
    path = folder / "copied.txt"
    path.write_text(text, encoding="utf-8")
    return runpy.run_path(str(path))


def test_only_what_a_class_needs_is_copied(project: Project, tmp_path: Path) -> None:
    module = project(
        exp_words="""
            import json

            #: How loud.
            LOUD = "!"
            LOUD += "!"

            def shout(text):
                return text.upper() + LOUD

            def whisper(text):
                return json.dumps(text)
        """,
        exp_task="""
            from bt_core.task import Task
            from exp_words import shout as cry

            class Base:
                def say(self):
                    return cry(self.word())

            class Program(Base):
                def word(self):
                    return "hi"

                def other(self):
                    return Program()

            task = Task("t", Program, lambda example, prediction: 1, ("x",))
        """,
    )
    text = text_of(module.Program, tmp_path)
    assert run(text, tmp_path)["made"]().say() == "HI!!"
    assert "#: How loud." in text
    assert not [word for word in ("bt_core", "exp_words", "whisper", "json", "task =") if word in text]


def test_closures_settings_and_partials_become_text(project: Project, tmp_path: Path) -> None:
    module = project(
        exp_factory="""
            from dataclasses import dataclass
            from enum import Enum
            from functools import partial

            from pydantic import BaseModel

            class Kind(Enum):
                ONE = 1

            class Settings(BaseModel):
                words: tuple[str, ...] = ()
                size: int = 3

            @dataclass(frozen=True)
            class Part:
                kind: Kind
                weights: dict[str, float]

            def build(settings, part, *more):
                return settings, part, more

            def make(settings):
                part = Part(Kind.ONE, {"a": 0.5, "b": float("inf")})
                return lambda: build(settings, part, {3, 1, 2}, b"x", (1,), None, abs)

            def nested(word):
                def inner():
                    return word * 2
                return inner

            made = make(Settings(words=("a", "b")))
            again = partial(build, Settings(), part=nested("ab"))
        """
    )
    copied = run(text_of(module.made, tmp_path), tmp_path)
    settings, part, more = copied["made"]()
    assert settings.model_dump() == {"words": ("a", "b"), "size": 3}
    assert (part.kind.name, part.weights) == ("ONE", {"a": 0.5, "b": float("inf")})
    assert more == ({1, 2, 3}, b"x", (1,), None, abs)
    settings, inner, more = run(text_of(module.again, tmp_path), tmp_path)["made"]()
    assert (settings.size, inner(), more) == (3, "abab", ())


def test_relative_imports_and_packages(project: Project, tmp_path: Path) -> None:
    module = project(
        **{
            "exp_package.__init__": "from .parts import Part",
            "exp_package.parts": """
                from __future__ import annotations

                class Part:
                    name: "no such name" = "part"
            """,
            "exp_package.whole": "from . import Part\n\nclass Whole(Part):\n    pass\n",
        }
    )
    assert run(text_of(module.Whole, tmp_path), tmp_path)["made"].name == "part"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def made():\n    from exp_other import thing\n    return thing", "import it at the top of the module"),
        ("import exp_other\n\ndef made():\n    return exp_other.thing", "import the names that the program uses"),
        ("from exp_other import *\n\ndef made():\n    return thing", "define or import it there by its name"),
        ("from exp_other import same\n\ndef two(same):\n    return same\n\n"
         "def outer():\n    thing = 3\n    return lambda: (same(), thing)\n\nmade = outer()", "rename one of them"),
        ("import threading\n\ndef outer():\n    lock = threading.Lock()\n    return lambda: lock\n\nmade = outer()",
         "`lock` is a lock, which cannot be written as source text"),
        ("def outer():\n    class Inner:\n        x = 1\n    return Inner\n\nmade = outer()", "a class made inside"),
        ("pair = lambda: 1, lambda: 2\nmade = pair[0]", "write one on each line"),
    ],
)  # fmt: skip
def test_what_cannot_be_copied_is_one_sentence(project: Project, tmp_path: Path, text: str, sentence: str) -> None:
    module = project(exp_other="thing = 1\n\ndef same():\n    return thing\n", exp_wrong=text)
    with pytest.raises(ProgramError, match=sentence):
        text_of(module.made, tmp_path)


def test_a_value_may_say_how_it_is_exported(project: Project, tmp_path: Path) -> None:
    module = project(
        exp_own="""
            class Reader:
                def __init__(self, handle):
                    self.handle = handle

                def exported(self, folder):
                    (folder / "words.txt").write_text("a b")
                    return "words.txt"

            def outer(reader):
                return lambda: reader

            made = outer(Reader(object()))
        """
    )
    assert run(text_of(module.made, tmp_path), tmp_path)["made"]() == "words.txt"
    assert (tmp_path / "words.txt").read_text() == "a b"
