"""Any number of shards gives the same result as one."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.errors import ConfigError, DataError
from bt_core.formats.traces import read_traces
from bt_core.program import read_program
from bt_core.records import StageReport, Trace, read_jsonl
from bt_core.steps.shards import merge_bootstrap, merge_evaluation, part_of, run_shard
from tests.core.flow import Flow

#: Failed examples are tried again, with the seeds that they would have had in one piece.
SETTINGS: dict[str, Any] = {"bootstrap": {"attempts": 2}, "p": {"candidates": 2}}
SHARDS = (1, 3, 7)


@given(rows=st.integers(0, 40), shards=st.integers(1, 50))
def test_every_row_is_in_one_shard_and_shards_are_even(rows: int, shards: int) -> None:
    numbers = [{"n": number} for number in range(shards + rows)]
    parts = [part_of(numbers, shard, shards) for shard in range(shards)]
    assert [row for part in parts for row in part] == numbers
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_shard_that_does_not_exist_or_has_no_row_is_refused() -> None:
    with pytest.raises(ConfigError, match="no shard 3 of 3"):
        part_of([{"n": 1}] * 3, 3, 3)
    with pytest.raises(ConfigError, match=r"4 shards are too many for a split of 3 rows: .* --shards 3 at most"):
        part_of([{"n": 1}] * 3, 0, 4)


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, tiny_engine: TransformersEngine) -> Flow:
    """Traces, and the program of `p`, made without shards."""
    folder = tmp_path_factory.mktemp("shards")
    flow = Flow.start(folder, tiny_folder, "tests.core.toy:task", tiny_engine, **SETTINGS)
    tiny_engine.forget()
    flow.bootstrap(name="1.bootstrap")
    flow.p(traces="1.bootstrap", out="whole")
    return flow


def shards_of(
    flow: Flow, shards: int, program: str, rows: str, bootstrapping: bool
) -> tuple[list[Path], list[StageReport]]:
    """Run the shards from the last to the first, since pods end in any order, each with an engine of its own."""
    parts, reports = [], []
    flow.engine.forget()
    for shard in reversed(range(shards)):
        part = flow.folder / f"{program}.{rows}.{shard}of{shards}"
        inputs = (flow.folder / program, flow.folder / f"{rows}.jsonl", flow.config, "stage", (shard, shards))
        reports.append(run_shard(*inputs, bootstrapping, part, flow.engine))
        parts.append(part)
        flow.engine.forget()
    return parts, reports


@pytest.mark.parametrize("shards", SHARDS)
def test_the_traces_are_those_of_one_bootstrap(flow: Flow, shards: int) -> None:
    train, merged = flow.folder / "train.jsonl", flow.folder / f"merged{shards}"
    parts, reports = shards_of(flow, shards, "vanilla", "train", True)
    report = merge_bootstrap(parts, reports, train, flow.config, "1.bootstrap", merged)

    whole = flow.reports[1]
    assert same(read_traces(merged)) == same(read_traces(flow.folder / "1.bootstrap"))
    assert merged.read_bytes() == (flow.folder / "1.bootstrap").read_bytes() or shards > 1
    told = ("stage", "kind", "params", "metrics", "warnings", "note")
    assert {name: asdict(report)[name] for name in told} == {name: asdict(whole)[name] for name in told}
    assert (report.usage.calls, report.usage.prompt_tokens) == (whole.usage.calls, whole.usage.prompt_tokens)
    searched = flow.p(traces=merged.name, out=f"p{shards}")
    renamed = replace(searched, lineage=tuple(replace(step, stage="whole") for step in searched.lineage))
    assert renamed == read_program(flow.folder / "whole")


def same(traces: list[Trace]) -> list[Trace]:
    """Rounds log-probabilities, whose last digits depend on how rows are batched."""

    def rounded(logprobs: dict[str, float] | None) -> dict[str, float] | None:
        return logprobs and {label: round(value, 3) for label, value in logprobs.items()}

    return [
        replace(one, calls=tuple(replace(call, label_logprobs=rounded(call.label_logprobs)) for call in one.calls))
        for one in traces
    ]


@pytest.mark.parametrize("shards", SHARDS)
def test_the_evaluation_is_that_of_one_pod(flow: Flow, shards: int) -> None:
    whole = flow.evaluate("whole", out="results.jsonl")
    vanilla = shards_of(flow, shards, "vanilla", "test", False)
    final = shards_of(flow, shards, "whole", "test", False)
    results = flow.folder / f"results{shards}.jsonl"
    report = merge_evaluation(vanilla, final, False, flow.folder / "test.jsonl", flow.config, "evaluate", results)

    assert read_jsonl(results) == read_jsonl(flow.folder / "results.jsonl")
    assert (report.metrics, report.note, report.kind) == (whole.metrics, whole.note, "evaluate")


def test_a_missing_shard_is_reported(flow: Flow) -> None:
    parts, reports = shards_of(flow, 3, "vanilla", "train", True)
    inputs = (flow.folder / "train.jsonl", flow.config, "1.bootstrap", flow.folder / "never")
    with pytest.raises(DataError, match="4 of 12 rows have no trace in the 2 shards"):
        merge_bootstrap(parts[1:], reports[1:], *inputs)
    assert not (flow.folder / "never").exists()
