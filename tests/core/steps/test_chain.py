"""The chain: all stages of a strategy in one task, on one engine."""

from collections.abc import Generator
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from bt_core.config import Config, EngineConfig, step_kinds
from bt_core.engine.base import Message, Request
from bt_core.engine.lazy_engine import LazyEngine
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.response_cache import CACHE_VARIABLE
from bt_core.engine.training.job import Curve, TrainingJob
from bt_core.engine.training.train import train_adapter
from bt_core.models import BaseModel
from bt_core.records import StageReport, Usage
from bt_core.steps.folders import RowsFolder
from bt_core.steps.handover import REPORTS, hand_over
from bt_core.steps.optimise.chain import chain
from bt_core.steps.stage import FinishedStage
from tests.core.flow import Flow
from tests.core.steps.test_defects import FEW, TOY

#: Priors are floats in the program: they show where an engine answers otherwise than a new one.
SETTINGS: dict[str, Any] = FEW | {
    "decoding": {"calibration": "train"},
    "p": {"candidates": 1},
    "rows": {"train": 9, "val": 6, "test": 3},
    "select": "last",
}
ADAPTER_FILES = ("config.json", "model.safetensors")
ASKED = Request((Message("user", "Is the sea dark?"),), labels=("yes", "no"))


def start(folder: Path, model: Path) -> Flow:
    folder.mkdir()
    flow = Flow.start(folder, model, TOY, **SETTINGS)
    RowsFolder(folder).write(flow.config)
    return flow


def chained(flow: Flow, strategy: str, out: str = "chain", **options: Any) -> Generator[FinishedStage, None, None]:
    return chain(flow.folder / "vanilla", RowsFolder(flow.folder), strategy, flow.folder / out, **options)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def timeless(report: StageReport) -> StageReport:
    metrics = {name: value for name, value in report.metrics.items() if name != "train/seconds"}
    return replace(report, metrics=metrics, usage=replace(report.usage, seconds=0.0), started=0.0, ended=0.0)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that transformers loaded while the test ran."""
    found: list[str] = []
    load = AutoModelForCausalLM.from_pretrained

    def counted(path: Any, **options: Any) -> Any:
        found.append(Path(path).name)
        return load(path, **options)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", counted)
    return found


def test_the_chain_makes_what_its_stages_make(tmp_path: Path, tiny_folder: Path, loads: list[str]) -> None:
    flow = start(tmp_path / "run", tiny_folder)
    hand_over(flow.folder / "vanilla", flow.reports)
    loads.clear()
    program = "vanilla"
    apart = []
    for number, kind in enumerate("pwp", start=1):
        flow.bootstrap(program, f"{number}.bootstrap")
        getattr(flow, kind)(program, f"{number}.bootstrap", f"{number}.{kind}")
        selection = flow.select(program, f"{number}.{kind}")
        program = f"{number}.{kind}"
        apart += [flow.reports[-2], selection.told(flow.reports[-1])]
    before = len(loads)
    together = list(chained(flow, "p -> w -> p"))

    labels = [f"{n}.{stage}" for n, kind in enumerate("pwp", start=1) for stage in ("bootstrap", kind)]
    assert [finished.report.stage for finished in together] == labels
    renamed = [replace(report, stage=label) for report, label in zip(apart, labels, strict=True)]
    assert [timeless(finished.report) for finished in together] == list(map(timeless, renamed))
    for label in labels:
        output, expected = flow.folder / "chain" / label, flow.folder / label
        assert (files(output) or output.read_bytes()) == (files(expected) or expected.read_bytes())
    assert [(*finished.artifacts.items(), *finished.data) for finished in together[:2]] == [
        (("traces.jsonl", flow.folder / "chain" / "1.bootstrap"), "train"),
        (("program", flow.folder / "chain" / "1.p"), "train", "val"),
    ]
    last = files(flow.folder / "chain" / "3.p")
    assert last.keys() == {"program.json", REPORTS, *(f"adapter/adapter_{name}" for name in ADAPTER_FILES)}
    assert (before, len(loads) - before) == (7, 3), "for six stages and a training; before, in, and after the training"


def test_a_chain_that_was_cut_short_computes_nothing_twice(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, loads: list[str]
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    flow = start(tmp_path / "run", tiny_folder)
    first = chained(flow, "p -> w -> p", "first")
    while next(first).report.stage != "2.w":
        pass
    first.close()
    loads.clear()
    again = chained(flow, "p -> w -> p", "again")
    known = [next(again).report for _ in ("1.bootstrap", "1.p", "2.bootstrap", "2.w")]

    assert all(report.usage.calls == report.usage.cached_calls for report in known)
    assert known[3].metrics["train/cached"] == 1.0
    assert not loads
    assert next(again).report.usage.cached_calls < next(again).report.usage.calls


def test_training_elsewhere_is_asked_for_where_the_strategy_trains(tmp_path: Path, tiny_folder: Path) -> None:
    flow = start(tmp_path / "run", tiny_folder)
    jobs: list[TrainingJob] = []

    def elsewhere(job: TrainingJob, folder: Path, key: str) -> Curve:
        jobs.append(job)
        return train_adapter(job, folder)

    stages = [finished.report.stage for finished in chained(flow, "w", training=lambda config: elsewhere)]
    assert stages == ["1.bootstrap", "1.w"]
    assert [job.label for job in jobs] == ["1.w adapter"]
    assert next(chained(flow, "p", training=_never)).report.stage == "1.bootstrap"


def _never(config: Config) -> None:
    raise AssertionError("the strategy trains nothing")


def test_a_shared_engine_is_loaded_again_after_it_was_closed(tiny_model: BaseModel) -> None:
    loaded: list[TransformersEngine] = []

    def load() -> TransformersEngine:
        loaded.append(TransformersEngine(tiny_model, EngineConfig(device="cpu")))
        return loaded[-1]

    engine = LazyEngine(load)
    engine.close()
    assert engine.usage == Usage()
    first = engine.generate([ASKED])
    engine.close()
    assert engine.generate([ASKED]) == first
    assert len(loaded) == 2
    assert engine.usage == loaded[0].usage + loaded[1].usage


def test_an_engine_that_forgets_computes_its_prefixes_again(tiny_engine: TransformersEngine) -> None:
    engine = LazyEngine(lambda: tiny_engine)
    system = Message("system", "Answer with one word, and think of the weather. " * 8)
    pair = [
        replace(ASKED, messages=(system, Message("user", question))) for question in ("Is it dark?", "Is it light?")
    ]

    def computed() -> int:
        before = engine.usage
        engine.generate(pair)
        return (engine.usage - before).computed_prompt_tokens

    engine.generate(pair)
    engine.forget()
    anew, kept = computed(), computed()
    assert kept < anew
    engine.forget()
    assert computed() == anew


def test_every_step_kind_has_a_stage_function() -> None:
    inputs = {"program", "traces", "train", "val", "config", "stage", "optimised", "engine"}
    for kind in step_kinds().values():
        assert signature(kind.load_stage()).parameters.keys() == (inputs | {"remote"} if kind.trains else inputs)
