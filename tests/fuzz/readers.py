"""Every reader of files, with valid files to damage, and what must hold of whatever it accepts."""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from bt_cli.commands.compare import compare
from bt_cli.commands.show import show
from bt_cli.options.sweep_arguments import SweepArguments
from bt_cli.run_folder import SweepFolder
from bt_cli.view.leaderboard import print_leaderboard
from bt_cli.view.summary import _steps, _verdict
from bt_cluster.cron import parse_cron
from bt_cluster.package import read_package
from bt_core.bundle import find_manifest
from bt_core.config import load_config_file, read_config, resolve_config
from bt_core.data import check_json, read_rows
from bt_core.engine.training.adapter_cache import CURVE_FILE, AdapterCache
from bt_core.errors import DataError
from bt_core.formats.adapter_config import AdapterConfig
from bt_core.formats.reports import load_report
from bt_core.formats.rows import ChallengeRow, ComparedRow, ScoredRow, read_results, read_scores, write_results
from bt_core.formats.run_result import RunResult
from bt_core.formats.sweep import Sweep
from bt_core.formats.traces import read_traces
from bt_core.program import PROGRAM_FILE, read_program, write_program
from bt_core.records import canonical_json, dump_report, read_jsonl, write_jsonl, write_traces
from bt_pipelines.pods.profile import component_names, read_profile
from bt_report.render import render_html, render_markdown
from bt_runtime.reports import read_reports, write_report
from tests.fuzz import samples
from tests.fuzz.mutations import mutated_json, mutated_lines, mutated_text


@dataclass(frozen=True)
class Reader:
    """A reader under test.

    Attributes:
        name: of the file that it reads.
        inputs: damaged files.
        read: reads one from a folder and checks what was accepted; raises the reader's own error.
        weight: share of the inputs; less than 1 for a slow reader.
    """

    name: str
    inputs: st.SearchStrategy[bytes]
    read: Callable[[Path, bytes], None]
    weight: float = 1.0


def _put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _program(folder: Path, content: bytes) -> None:
    _put(folder, PROGRAM_FILE, content)
    program = read_program(folder, verify=False)
    again = folder / "again" / "program"
    write_program(program, again, dict.fromkeys(program.adapters, folder / "peft"))
    assert {path.parent.parent for path in (folder / "again").rglob("*.safetensors")} <= {again, *again.rglob("*")}
    assert read_program(again, verify=False) == program
    json.loads(canonical_json(asdict(program)))
    assert all(step.val_after is None or 0 <= step.val_after <= 1 for step in program.lineage)
    with redirect_stdout(io.StringIO()):
        show(str(again))


def _traces(folder: Path, content: bytes) -> None:
    traces = read_traces(_put(folder, "traces.jsonl", content))
    assert all(0.0 <= trace.score <= 1.0 and not isinstance(trace.score, bool) for trace in traces)
    write_traces(folder / "again.jsonl", traces)
    assert read_traces(folder / "again.jsonl") == traces


def _report(folder: Path, content: bytes) -> None:
    report = load_report(content.decode("utf-8", errors="replace"))
    assert all(0.0 <= score <= 1.0 for score in report.scores)
    assert load_report(dump_report(report)) == report
    assert read_reports([write_report(report)])[0].metrics == report.metrics


def _packed(folder: Path, content: bytes) -> None:
    for report in read_reports([content.decode("latin-1")]):
        dump_report(report)


def _sweep(folder: Path, content: bytes) -> None:
    sweep = Sweep.parse(content, "sweep.json")
    assert Sweep.parse(sweep.text(), "sweep.json") == sweep
    assert all(0.0 <= arm.mean <= 1.0 for arm in sweep.arms)
    render_html(sweep)
    render_markdown(sweep)
    print_leaderboard(samples.console(), sweep, SweepFolder(folder))


def _result(folder: Path, content: bytes) -> None:
    result = RunResult.parse(content, "result.json")
    assert RunResult.parse(result.text(), "result.json") == result
    _steps(result)
    if result.test:
        _verdict(result.test)


def _results(kind: Any) -> Callable[[Path, bytes], None]:
    def read(folder: Path, content: bytes) -> None:
        path = _put(folder, "results.jsonl", content)
        write_results(folder / "again.jsonl", read_results(path, kind))
        assert read_results(folder / "again.jsonl", kind) == read_results(path, kind)

    return read


def _scores(folder: Path, content: bytes) -> None:
    path = _put(folder, "scores.jsonl", content)
    assert all(0.0 <= score <= 1.0 for score, _ in read_scores(path).values())
    _put(folder, "other.jsonl", content)
    with redirect_stdout(io.StringIO()):
        compare(path, folder / "other.jsonl")


def _manifest(folder: Path, content: bytes) -> None:
    _put(folder, "manifest.json", content)
    manifest = find_manifest(str(folder))
    assert manifest is not None
    assert not any(".." in name.split("/") or name.startswith("/") for name in manifest.files)
    manifest.dump()


def _config(suffix: str) -> Callable[[Path, bytes], None]:
    def read(folder: Path, content: bytes) -> None:
        config = resolve_config({"task": "iris"}, load_config_file(_put(folder, f"config{suffix}", content)))
        text = config.model_dump_json()
        assert read_config(text).model_dump_json() == text
        assert config.seed < 2**32

    return read


def _profile(folder: Path, content: bytes) -> None:
    profile = read_profile(_put(folder, "profile.yaml", content))
    for name in component_names():
        canonical_json(profile.pod_settings(name, True).model_dump(mode="json"))


def _cron(folder: Path, content: bytes) -> None:
    parse_cron(content.decode("utf-8", errors="replace")).next_times(datetime(2026, 1, 1, tzinfo=UTC))


def _rows(suffix: str) -> Callable[[Path, bytes], None]:
    def read(folder: Path, content: bytes) -> None:
        rows = read_rows(_put(folder, f"rows{suffix}", content))
        check_json(rows, "the rows")
        write_jsonl(folder / "again.jsonl", rows)
        assert read_jsonl(folder / "again.jsonl") == rows

    return read


def _adapter_config(folder: Path, content: bytes) -> None:
    assert AdapterConfig.read(_put(folder, "adapter_config.json", content)).r >= 1


def _curve(folder: Path, content: bytes) -> None:
    entry, target = folder / "adapters" / "key", folder / "target"
    if not entry.is_dir():
        entry.mkdir(parents=True)
        for path in (folder / "peft").iterdir():
            (entry / path.name).write_bytes(path.read_bytes())
    _put(entry, CURVE_FILE, content)
    with redirect_stderr(io.StringIO()):
        curve = AdapterCache(folder).restore("key", target)
    if curve is None:
        raise DataError("The entry was dropped, and a warning says so.")
    canonical_json(asdict(curve))


def _arguments(folder: Path, content: bytes) -> None:
    arguments = SweepArguments.read(_put(folder, "arguments.json", content), "name another")
    canonical_json(arguments.content())
    resolve_config(arguments.settings)


def _compiled(folder: Path, content: bytes) -> None:
    canonical_json(read_package(_put(folder, "pipeline.yaml", content)).content.parameters)


READERS = (
    Reader("program.json", mutated_json([samples.PROGRAM]), _program),
    Reader("traces.jsonl", mutated_lines(samples.TRACES), _traces),
    Reader("report", mutated_json([samples.REPORT]), _report),
    Reader("packed-report", mutated_text([samples.PACKED]), _packed),
    Reader("sweep.json", mutated_json(samples.SWEEPS), _sweep),
    Reader("result.json", mutated_json([samples.RESULT]), _result),
    Reader("scored-rows", mutated_lines(samples.SCORED), _results(ScoredRow)),
    Reader("compared-rows", mutated_lines(samples.COMPARED), _results(ComparedRow)),
    Reader("challenge-rows", mutated_lines(samples.CHALLENGED), _results(ChallengeRow)),
    Reader("scores", mutated_lines(samples.SCORED), _scores),
    Reader("manifest.json", mutated_json([samples.MANIFEST]), _manifest),
    Reader("config.json", mutated_json([samples.CONFIG]), _config(".json")),
    Reader("config.yaml", mutated_text([samples.CONFIG_YAML]), _config(".yaml")),
    Reader("profile.yaml", mutated_text([samples.PROFILE_YAML]) | mutated_json([samples.PROFILE]), _profile, 0.5),
    Reader("cron", mutated_text(samples.CRONS), _cron),
    Reader("rows.jsonl", mutated_lines(samples.ROWS), _rows(".jsonl")),
    Reader("rows.csv", mutated_text([samples.CSV]), _rows(".csv"), 0.1),
    Reader("rows.json", mutated_json([samples.ROWS]), _rows(".json"), 0.1),
    Reader("adapter_config.json", mutated_json([samples.ADAPTER_CONFIG]), _adapter_config),
    Reader("curve.json", mutated_json([samples.CURVE]), _curve),
    Reader("arguments.json", mutated_json([samples.ARGUMENTS]), _arguments),
    Reader("pipeline.yaml", mutated_text([samples.COMPILED]), _compiled, 0.1),
)
