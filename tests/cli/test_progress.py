"""What a run shows while it goes on."""

import io
from pathlib import Path

from rich.console import Console

from bt_cli.view.progress import LiveProgress, PlainProgress, progress_on
from bt_core.records import StageReport, Usage
from bt_runner.events import Event, TaskEnded, TaskOutput, TaskStarted
from bt_runtime.reports import write_report


def _ended(label: str, title: str, cached: int = 0, **metrics: float) -> TaskEnded:
    named = {name.replace("__", "/"): value for name, value in metrics.items()}
    report = StageReport(
        label, "p", metrics=named, usage=Usage(calls=7, cached_calls=cached), warnings=("Few traces.",)
    )
    return TaskEnded(label, title, ok=True, seconds=1.25, parameters={"Output": write_report(report)})


EVENTS: list[Event] = [
    TaskStarted("1.bootstrap", "1.bootstrap traces"),
    TaskOutput("1.bootstrap", "running [60 examples]"),
    _ended("1.bootstrap", "1.bootstrap traces", traces__kept=26, traces__total=60),
    TaskStarted("1.p", "1.p prompt search"),
    _ended("1.p", "1.p prompt search", cached=4, val__score=0.5, val__score_before=0.25),
    TaskStarted("evaluate", "evaluate on the test split"),
    TaskEnded("evaluate", "evaluate on the test split", ok=False, seconds=0.5, artifacts={"results": Path("gone")}),
]


def _shown(progress: type[PlainProgress | LiveProgress], terminal: bool) -> tuple[str, bool]:
    file = io.StringIO()
    display = progress(Console(file=file, force_terminal=terminal, width=120, highlight=False), 4)
    with display.show():
        for event in EVENTS:
            display.tell(event)
    return file.getvalue(), display.is_under_way


def test_plain_lines_tell_starts_ends_results_and_warnings() -> None:
    text, under_way = _shown(PlainProgress, terminal=False)
    assert text.splitlines() == [
        "[1/4] 1.bootstrap traces ...",
        "[1/4] 1.bootstrap traces: done after 1.2 s, 26 of 60 traces kept, 7 LM calls",
        "warning: Few traces.",
        "[2/4] 1.p prompt search ...",
        "[2/4] 1.p prompt search: done after 1.2 s, validation 0.250 -> 0.500, 7 LM calls (4 from the cache)",
        "warning: Few traces.",
        "[3/4] evaluate on the test split ...",
        "[3/4] evaluate on the test split: failed after 0.5 s",
    ]
    assert under_way


def test_the_live_table_ends_with_every_task() -> None:
    text, under_way = _shown(LiveProgress, terminal=True)
    last = text.rpartition("warning: Few traces.")[2]
    for part in ("✓", "✗", "1.bootstrap traces", "26 of 60 traces kept", "validation 0.250 -> 0.500", "3 of 4 tasks"):
        assert part in last, part
    assert under_way


FAR = "1.p: row 120 of 350, 80 s left"


def test_plain_lines_repeat_how_far_a_task_is() -> None:
    file = io.StringIO()
    display = PlainProgress(Console(file=file, width=120), 4)
    display.tell(TaskStarted("1.p", "1.p prompt search"))
    for line in ("a line of a library", FAR, "2.w adapter: step 3 of 9, loss 0.4213, 12 s left"):
        display.tell(TaskOutput("1.p", line))
    assert file.getvalue().splitlines()[1:] == [
        f"[1/4] {FAR}",
        "[1/4] 2.w adapter: step 3 of 9, loss 0.4213, 12 s left",
    ]


def test_the_live_table_shows_a_bar() -> None:
    file = io.StringIO()
    display = LiveProgress(Console(file=file, force_terminal=True, width=120, highlight=False), 4)
    display.tell(TaskStarted("1.p", "1.p prompt search"))
    display.tell(TaskOutput("1.p", FAR))
    with display.show():
        pass
    assert "\u2501\u2501\u2501" in file.getvalue()
    assert FAR in file.getvalue()


def test_nothing_is_under_way_before_a_task_ended_well() -> None:
    display = progress_on(Console(file=io.StringIO()), 4)
    assert isinstance(display, PlainProgress)
    display.tell(TaskStarted("evaluate", "evaluate"))
    display.tell(TaskEnded("evaluate", "evaluate", ok=False, seconds=0.5))
    assert not display.is_under_way


def test_a_task_without_a_report_is_shown_as_done() -> None:
    file = io.StringIO()
    display = PlainProgress(Console(file=file, width=120), 1)
    display.tell(TaskStarted("importer", "the winner's program"))
    display.tell(TaskEnded("importer", "the winner's program", ok=True, seconds=0.1, artifacts={"artifact": Path("x")}))
    assert file.getvalue().splitlines()[-1] == "[1/1] the winner's program: done after 0.1 s"


def test_a_task_of_several_stages_tells_of_its_steps() -> None:
    file = io.StringIO()
    display = PlainProgress(Console(file=file, width=200), 1)
    metrics = {"val/score": 0.5, "val/score_before": 0.25}
    stages = [
        StageReport("1.bootstrap", "bootstrap", warnings=("Few traces.",)),
        StageReport("1.p", "p", metrics=metrics, usage=Usage(calls=7)),
        StageReport("2.w", "w", metrics=metrics, warnings=("It skipped.",)),
    ]
    display.tell(TaskEnded("optimise", "one pod", ok=True, seconds=1, parameters={"Output": write_report(*stages)}))
    assert file.getvalue().splitlines() == [
        "[0/1] one pod: done after 1.0 s, 1.p: validation 0.250 -> 0.500, 7 LM calls; 2.w: validation 0.250 -> 0.500",
        "warning: Few traces.",
        "warning: It skipped.",
    ]


def _told(*stages: StageReport) -> str:
    """What is said of a task of these stages, after its time."""
    file = io.StringIO()
    ended = TaskEnded("task", "task", ok=True, seconds=1, parameters={"Output": write_report(*stages)})
    PlainProgress(Console(file=file, width=200), 1).tell(ended)
    return file.getvalue().removeprefix("[0/1] task: done after 1.0 s, ").strip()


def test_the_evaluation_tells_its_scores_though_the_result_is_a_stage_of_its_task() -> None:
    scores = {"test/vanilla": 0.25, "test/final": 0.75, "test/difference": 0.5}
    evaluated = StageReport("evaluate", "evaluate", metrics=scores, usage=Usage(calls=16))
    result = StageReport("register", "register", metrics={"test/difference": 0.5})
    assert _told(evaluated, result) == "test 0.250 -> 0.750, 16 LM calls"


def test_a_task_that_scores_several_arms_tells_of_each() -> None:
    scores = {"vanilla": 0.25, "p -> w": 0.5}
    stages = [StageReport("score", "score", {"arm": arm}, {"test/score": score}) for arm, score in scores.items()]
    assert _told(*stages) == "vanilla: test 0.250; p -> w: test 0.500"
    assert _told(stages[0]) == "test 0.250"


def test_a_long_table_keeps_the_task_at_work_in_sight() -> None:
    file = io.StringIO()
    display = LiveProgress(Console(file=file, force_terminal=True, width=80, height=10), 40)
    for number in range(40):
        display.tell(TaskStarted(f"task {number}", f"task {number}"))
    with display.show():
        pass
    text = file.getvalue()
    assert "task 39" in text
    assert "0 of 40 tasks" in text
    assert "task 32" not in text, "ten lines, of which seven are tasks"
