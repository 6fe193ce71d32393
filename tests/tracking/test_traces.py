"""Runs on rows as MLflow traces: what they show, how they are found, and that they are in nobody's way."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bt_tracking
from bt_core.formats.rows import ComparedRow, read_results
from bt_core.records import Call, StageReport, Trace, read_jsonl, row_id, write_traces
from bt_core.steps.folders import RowsFolder, TracesFolder
from bt_runtime.strategy_tasks import finish_traces, run_evaluate
from bt_tracking import TracedCall, TracedRow, TraceOwner
from bt_tracking.connection import RetryingClient
from tests.core import conftest as core
from tests.runtime.steps import ROWS, Tasks
from tests.tracking.conftest import RestartableServer

embedded_model, tiny_folder = core.embedded_model, core.tiny_folder

Family = Callable[[RetryingClient], tuple[list[Any], dict[str, Any]]]
CALL = TracedCall(
    "answer",
    [{"role": "system", "content": "Name the continent."}, {"role": "user", "content": "City: Łódź"}],
    "Europe",
    {"city": "Łódź"},
    {"continent": "Europe"},
    {"Europe": -0.25, "Asia": -1.5},
)
ROW = TracedRow(
    "a1",
    {"city": "Łódź"},
    {"continent": "Europe"},
    None,
    [CALL, CALL],
    {"score": 1.0, "change": "better"},
    "Łódź is a city of Europe.",
    {"continent": "Europe"},
    {"change": "better"},
)
FAILED = replace(ROW, example="b2", prediction={}, error="ValueError: no city", calls=[], feedback={"score": 0.0})


def traces_of(client: RetryingClient, **wanted: Any) -> list[Any]:
    """Traces with their spans, the newest first."""
    experiment = client.get_experiment_by_name("bettertogether")
    return list(client.search_traces(locations=[experiment.experiment_id], max_results=500, **wanted))


def assessments(trace: Any) -> dict[str, Any]:
    return {
        one.name if one.feedback else f"expected {one.name}": one.feedback.value
        if one.feedback
        else one.expectation.value
        for one in trace.info.assessments
    }


@pytest.mark.parametrize("kind", ["store", "remote"])
def test_a_row_is_a_trace_with_a_span_for_each_call(
    kind: str, request: pytest.FixtureRequest, report: StageReport, environment: str
) -> None:
    client: RetryingClient = request.getfixturevalue(kind)
    run_id = bt_tracking.record(report, {})
    assert run_id
    owner = TraceOwner(run_id, f"continents {environment}", "tiny", "m-1")
    for _ in range(2):  # sent again, they are the same traces
        assert bt_tracking.record_traces([ROW, FAILED], owner, 1_700_000_000.5, 60.0) == 2
    right, wrong = traces_of(client, run_id=run_id)
    assert (right.info.state, right.info.request_time, right.info.client_request_id) == ("OK", 1_700_000_000_500, "a1")
    assert (right.info.trace_metadata["mlflow.sourceRun"], right.info.trace_metadata["mlflow.modelId"]) == (
        run_id,
        "m-1",
    )
    assert right.info.tags["change"] == "better"
    assert assessments(right) == {"score": 1.0, "change": "better", "expected continent": "Europe"}
    assert len(right.info.assessments) == 3
    assert {one.rationale for one in right.info.assessments if one.feedback} == {"Łódź is a city of Europe."}
    root, *calls = right.data.spans
    assert (root.name, root.inputs, root.outputs) == (owner.name, {"city": "Łódź"}, {"continent": "Europe"})
    assert [(span.name, span.parent_id) for span in calls] == [("answer", root.span_id)] * 2
    assert calls[0].inputs == {"messages": CALL.messages}
    assert calls[0].outputs["choices"][0]["message"] == {"role": "assistant", "content": "Europe"}
    assert calls[0].get_attribute("label_logprobs") == CALL.label_logprobs

    assert (wrong.info.state, wrong.data.spans[0].status.description) == ("ERROR", "ValueError: no city")
    (score,) = [one for one in wrong.info.assessments if one.name == "score"]
    assert (score.feedback.value, score.rationale) == (0.0, "ValueError: no city")


def test_no_more_traces_than_fit_in_the_time(store: RetryingClient, report: StageReport) -> None:
    run_id = bt_tracking.record(report, {})
    assert run_id
    rows = [replace(ROW, example=str(number)) for number in range(300)]
    owner = TraceOwner(run_id, "continents", "tiny")
    assert bt_tracking.record_traces(rows, owner, 1_700_000_000.0, 0.0) == 0
    sent = bt_tracking.record_traces(rows, owner, 1_700_000_000.0, 0.3)
    assert 0 < sent < 300
    found = traces_of(store, run_id=run_id)
    assert [trace.info.client_request_id for trace in found] == [str(number) for number in range(sent)]
    assert all(len(trace.data.spans) == 3 for trace in found)


@pytest.fixture
def prepared(tmp_path: Path, tiny_folder: Path, store: RetryingClient, monkeypatch: pytest.MonkeyPatch) -> Tasks:
    """A run whose data are prepared."""
    monkeypatch.setenv("BT_STRATEGY", "p")
    return Tasks(tmp_path / "run", tiny_folder)


def seem_long(program: Path) -> None:
    """Let the step that made the program have taken so long that all traces fit in their share of the run's time."""
    reports = program / "reports.jsonl"
    lines = [json.loads(line) for line in reports.read_text(encoding="utf-8").splitlines()]
    lines[-1]["ended"] += 10_000.0
    reports.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def evaluated(tasks: Tasks, **tracking: int) -> None:
    """Evaluate a step that is done at once."""
    tasks.prepare(seed=3, tracking=tracking)
    tasks.step("p", 0.75, "1.p")
    seem_long(tasks.folder / "1.p")
    outputs = tasks.path("results"), tasks.path("html")
    run_evaluate(tasks.path("1.p"), tasks.path("test"), "evaluate", *outputs, tasks.metrics("evaluate"))


def test_test_rows_are_traces_of_the_run_and_the_model(prepared: Tasks, store: RetryingClient, family: Family) -> None:
    evaluated(prepared)
    (parent,), _ = family(store)
    (output,) = parent.outputs.model_outputs
    results = {row.example: row for row in read_results(prepared.folder / "results" / "results.jsonl", ComparedRow)}
    found = {trace.info.client_request_id: trace for trace in traces_of(store, run_id=parent.info.run_id)}
    assert found.keys() == results.keys()
    assert {trace.info.client_request_id for trace in traces_of(store, model_id=output.model_id)} == found.keys()
    for name, trace in found.items():
        row = results[name]
        change = (
            "better"
            if row.final.score > row.vanilla.score
            else "worse"
            if row.final.score < row.vanilla.score
            else "same"
        )
        scores = {"score": row.final.score, "score_before": row.vanilla.score, "change": change}
        assert assessments(trace) == scores | {"expected colour": row.row["colour"]}
        root, shade, paint = trace.data.spans
        assert (root.inputs, root.outputs) == ({"thing": row.row["thing"]}, row.final.prediction)
        assert (shade.name, paint.name) == ("shade", "paint")
        *_, asked = paint.inputs["messages"]
        assert row.row["thing"] in asked["content"]
        assert paint.outputs["choices"][0]["message"]["content"].endswith(row.final.prediction["colour"])
        assert "1.p" in paint.inputs["messages"][0]["content"], "the shipped program's instructions"
    for change in ("better", "worse", "same"):
        expected = {name for name, trace in found.items() if trace.info.tags["change"] == change}
        filtered = traces_of(store, run_id=parent.info.run_id, filter_string=f"tags.change = '{change}'")
        assert {trace.info.client_request_id for trace in filtered} == expected


@pytest.mark.parametrize("most", [0, 1])
def test_the_setting_says_how_many(most: int, prepared: Tasks, store: RetryingClient) -> None:
    evaluated(prepared, traces=most)
    assert len(traces_of(store)) == most


def kept(tasks: Tasks, most: int, ended: float = 10_000.0) -> None:
    """The end of a bootstrap whose traces passed, except the last one."""
    tasks.prepare(tracking={"kept_traces": most})
    rows, folder = RowsFolder(tasks.folder / "rows"), TracesFolder(tasks.folder / "traces")
    folder.path.mkdir(exist_ok=True)
    calls = [Call("paint", {"thing": "sea", "dark": True}, {"colour": "blue"})]
    made = [Trace(row_id(row), 1.0, tuple(calls), {"colour": row["colour"]}) for row in read_jsonl(rows.train)]
    write_traces(folder.traces, [*made[:-1], replace(made[-1], score=0.5)])
    report = StageReport("1.bootstrap", "bootstrap", started=0.0, ended=ended)
    finish_traces(report, tasks.path("program"), rows, folder, tasks.metrics("bootstrap"))


@pytest.mark.parametrize("most", [0, 2, 100])
def test_kept_traces_are_sent_where_the_setting_says_so(
    most: int, prepared: Tasks, store: RetryingClient, family: Family
) -> None:
    kept(prepared, most)
    found = traces_of(store, filter_string="tags.split = 'train'")
    assert len(found) == min(most, ROWS["train"] - 1)
    _, children = family(store)
    for trace in found:
        assert trace.info.trace_metadata["mlflow.sourceRun"] == children["1.bootstrap"].info.run_id
        assert "sea" in trace.data.spans[1].inputs["messages"][-1]["content"]


def test_traces_that_do_not_fit_in_the_time_are_said_to_be_missing(
    prepared: Tasks, store: RetryingClient, capfd: pytest.CaptureFixture[str]
) -> None:
    kept(prepared, 5, ended=0.0)
    assert not traces_of(store)
    assert (
        "MLflow has 0 of 5 traces of 1.bootstrap: more would have taken over 5% of the run's" in capfd.readouterr().out
    )


def test_a_server_that_goes_away_costs_one_sentence(
    remote: RetryingClient, server: RestartableServer, report: StageReport, capfd: pytest.CaptureFixture[str]
) -> None:
    from bt_runtime.traces import Times, _send

    run_id = bt_tracking.record(report, {})
    assert run_id
    server.kill()
    try:
        _send(lambda: [ROW], TraceOwner(run_id, "continents", "tiny"), Times(1_700_000_000.0, 10.0))
    finally:
        server.restart()
        server.running.wait_until_ready()
    lines = [line for line in capfd.readouterr().err.splitlines() if "traces of continents" in line]
    (line,) = lines
    assert "could not be reached for 0.5 s while recording traces of continents" in line


def test_a_prompt_format_that_fails_costs_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    from bt_runtime.traces import Times, _send

    def rows() -> list[TracedRow]:
        raise KeyError("city")

    _send(rows, TraceOwner("run", "continents", "tiny"), Times(1_700_000_000.0, 10.0))
    assert capfd.readouterr().err == "Traces of continents are not in MLflow (KeyError: 'city'); the run goes on.\n"
