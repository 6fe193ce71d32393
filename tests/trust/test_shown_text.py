"""Texts of strangers do not steer a terminal, and are no markup in what is shown."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.table import Table
from rich.text import Text

from bt_cli.commands import logs as command
from bt_cli.run_folder import RunFolder
from bt_cli.view import console as consoles
from bt_cli.view.console import PlainConsole
from bt_cli.view.summary import print_summary
from bt_core.errors import BtError, one_sentence, warn
from bt_core.formats.rows import Answer, ComparedRow, write_results
from bt_core.formats.run_result import RunResult
from bt_core.steps.prepare import prepare
from bt_core.trust.shown_text import markdown, visible
from tests.cli.conftest import Bt
from tests.core import toy
from tests.trust.conftest import Stranger

#: A window's title, colours, a cleared screen by an 8-bit control character, a text turned around, and markup.
ESCAPES = "\x1b]0;title\x9c\x1b[31mred\x9b2J\u202egpj\x7f[bold]big[/bold][link=http://evil]here[/link]"
CONTROLS = ("\x1b", "\x9c", "\x9b", "\u202e", "\x7f")
SHOWN = r"\x1b]0;title\x9c\x1b[31mred\x9b2J\u202egpj\x7f[bold]big[/bold][link=http://evil]here[/link]"

noted = toy.make(description='<img src="http://evil"> **bold** [here](http://evil) `code`\n# title')


def _is_harmless(text: str) -> bool:
    return SHOWN in text and not any(control in text for control in CONTROLS)


def test_control_characters_are_written_out() -> None:
    assert visible(ESCAPES) == SHOWN
    assert visible(visible(ESCAPES)) == SHOWN
    assert visible("line\n\tünï 漢字 👍") == "line\n\tünï 漢字 👍"


def test_a_console_shows_texts_as_they_are() -> None:
    for is_terminal in (False, True):
        file = io.StringIO()
        console = PlainConsole(file=file, width=200, force_terminal=is_terminal, color_system=None)
        table = Table(ESCAPES)
        table.add_row(ESCAPES)
        table.add_row(Text(ESCAPES))
        console.print(table)
        console.print(ESCAPES)
        assert SHOWN in file.getvalue()
        assert file.getvalue().count("[bold]big[/bold]") == 4
        assert not any(control in file.getvalue() for control in CONTROLS)


def test_the_consoles_own_escapes_stay() -> None:
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=True, color_system="standard")
    console.print(Text("fine", style="red"))
    console.show_cursor(False)
    assert "\x1b[31mfine" in file.getvalue()
    assert file.getvalue().endswith("\x1b[?25l")


def test_show_and_its_errors_are_harmless(stranger: Stranger, bt: Bt) -> None:
    program = stranger(ESCAPES, {"x": ESCAPES}, name=ESCAPES)
    shown = bt("show", program)
    assert shown.status == 0
    assert r"\x1b]0;title\x9c\x1b[31mred\x9b2J\u202egpj\x7f[bold]" in shown.out
    assert not any(control in shown.out for control in CONTROLS)
    as_json = bt("show", program, "--json")
    assert not any(control in as_json.out for control in CONTROLS)
    assert json.loads(as_json.out)["task"] == ESCAPES, "the document says the same"
    assert _is_harmless(bt("predict", program, "question=x").err)


def test_the_next_commands_are_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.cli.test_summary import DIFFERENCE, RESULT

    test = {
        "vanilla": 0.5,
        "final": 0.6,
        "difference": {"mean": 0.1, "ci95": [0.0, 0.2], **DIFFERENCE},
        "rows": 150,
        "prompt_tokens_per_example": {"vanilla": 54.0, "final": 81.5},
    }
    result = RunResult.parse(json.dumps({**RESULT, "test": test}), "result.json")
    run, answer = RunFolder(tmp_path / "run"), Answer(score=0.0, prediction={}, error=None)
    row = {"city": ESCAPES, "continent": "Europe"}
    write_results(run.results, [ComparedRow(example="e", row=row, vanilla=answer, final=answer)])
    file = io.StringIO()
    monkeypatch.setattr("sys.stdout", file)
    print_summary(consoles.stdout(), result, run, None)
    assert _is_harmless(file.getvalue())


def test_sentences_and_warnings_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    warn(ESCAPES)
    with pytest.raises(SystemExit), one_sentence():
        raise BtError(ESCAPES)
    lines = capsys.readouterr().err.splitlines()
    assert [_is_harmless(line) for line in lines] == [True, True]


def test_the_log_of_a_pod_is_harmless(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    task = SimpleNamespace(title="prepare", pods=["pod"])
    seen = SimpleNamespace(run=SimpleNamespace(id="1"), tasks=[task], workflow={})
    monkeypatch.setattr("bt_cli.options.cluster.connect", lambda *_: None)
    monkeypatch.setattr("bt_cluster.follow.Followed.find", lambda *_: SimpleNamespace(look=lambda _: seen))
    monkeypatch.setattr("bt_cluster.tasks.failed_first", lambda _: None)
    monkeypatch.setattr("bt_cluster.logs.log_of", lambda *_: f"first\n{ESCAPES}\n")
    command.logs("run")
    assert capsys.readouterr().out == f"first\n{SHOWN}\n"


def test_a_tasks_description_is_no_markup_in_mlflows_note(tiny_folder: Path, tmp_path: Path) -> None:
    splits: list[Any] = [tmp_path / f"{name}.jsonl" for name in ("train", "val", "test")]
    settings = {"task": f"{__name__}:noted", "model": str(tiny_folder)}
    _, report = prepare(settings, *splits, tmp_path / "program")
    first, _, second = report.note.partition("\n\n")
    assert first == r'\<img src="http://evil"> \*\*bold\*\* \[here\](http://evil) \`code\` # title'
    assert second == "2 predictors: shade, paint"


def test_a_line_of_markdown_stays_a_line() -> None:
    assert markdown("# title\n- item\n<b>|x") == r"\# title - item \<b>\|x"
