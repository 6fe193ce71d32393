"""The response cache: what decides its keys, what it returns, and what may happen to its file."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bt_core.config import EngineConfig
from bt_core.engine.base import Completion, Engine, EngineAdapter, Message, Request, Sampling
from bt_core.engine.cache_keys import base_identity, request_key
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.response_cache import CachedEngine, ResponseStore, cache_folder
from bt_core.records import Usage
from tests.core.conftest import Recorder

ROOT = Path(__file__).parents[3]
CPU = EngineConfig(device="cpu")
IDENTITY = base_identity("model", "revision", CPU)
ASKED = Request(
    (Message("system", "Be brief."), Message("user", "What colour is the sky?")),
    EngineAdapter(Path("adapter"), "a" * 64),
    labels=("red", "blue"),
    label_prior=(-0.5, -1.5),
)
#: Each differs from ASKED in one part of what decides an answer.
OTHERS = {
    "base": replace(ASKED, adapter=None),
    "adapter": replace(ASKED, adapter=EngineAdapter(Path("adapter"), "b" * 64)),
    "text": replace(ASKED, messages=(ASKED.messages[0], Message("user", "What colour is the sea?"))),
    "role": replace(ASKED, messages=(Message("user", "Be brief."), ASKED.messages[1])),
    "cut": replace(ASKED, messages=ASKED.messages[1:]),
    "labels": replace(ASKED, labels=("blue", "red")),
    "free": replace(ASKED, labels=(), label_prior=()),
    "prior": replace(ASKED, label_prior=(-0.5, -1.4)),
    "walk": replace(ASKED, walk=True),
    "whole": replace(ASKED, whole=True),
    "max_tokens": replace(ASKED, sampling=Sampling(max_tokens=8)),
    "stop": replace(ASKED, sampling=Sampling(stop=("\n",))),
    "temperature": replace(ASKED, sampling=Sampling(temperature=0.5)),
    "top_p": replace(ASKED, sampling=Sampling(top_p=0.5)),
}


def test_every_part_that_decides_an_answer_has_a_key_of_its_own() -> None:
    keys = {name: request_key(IDENTITY, request) for name, request in OTHERS.items()}
    assert len({*keys.values(), request_key(IDENTITY, ASKED)}) == len(OTHERS) + 1


def test_a_request_without_the_newest_parts_has_the_key_of_earlier_releases() -> None:
    assert request_key({"schema": 3}, ASKED) == "f8285c60dcf1e8e60a6e93a5b6c711e83f778fcd02bf7b64ba498da79988c360"


def test_every_part_of_the_base_has_a_key_of_its_own() -> None:
    others = [
        base_identity("other", "revision", CPU),
        base_identity("model", "other", CPU),
        base_identity("model", "revision", EngineConfig(device="cuda")),
        base_identity("model", "revision", EngineConfig(device="cpu", dtype="bfloat16")),
        *(IDENTITY | {"versions": IDENTITY["versions"] | {name: "0"}} for name in ("torch", "transformers", "peft")),
    ]
    assert len({request_key(identity, ASKED) for identity in [IDENTITY, *others]}) == 8


def test_neither_folder_nor_batch_size_is_part_of_a_key() -> None:
    assert base_identity("model", "revision", EngineConfig(device="cpu", batch_tokens=256, in_flight=1)) == IDENTITY
    moved = replace(ASKED, adapter=EngineAdapter(Path("elsewhere"), "a" * 64))
    assert request_key(IDENTITY, moved) == request_key(IDENTITY, ASKED)


def test_seeds_share_greedy_answers_and_no_samples() -> None:
    def keys(temperature: float) -> set[str]:
        sampled = [replace(ASKED, sampling=Sampling(temperature=temperature, seed=seed)) for seed in (0, 1, 2)]
        return {request_key(IDENTITY, request) for request in sampled}

    assert len(keys(0.0)) == 1
    assert len(keys(0.7)) == 3


completions = st.builds(
    Completion,
    text=st.text(),
    prompt_tokens=st.integers(0, 10**6),
    completion_tokens=st.integers(0, 10**6),
    label_logprobs=st.lists(st.floats(allow_nan=False, allow_infinity=False)).map(tuple),
    error=st.none() | st.text(),
    ended=st.sampled_from(["", "stop", "length"]),
)


@settings(max_examples=25)
@given(st.lists(completions, min_size=1, max_size=20))
def test_completions_come_back_exactly_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, kept: list[Completion]
) -> None:
    store = ResponseStore(tmp_path_factory.mktemp("round-trip"))
    named = {str(number): completion for number, completion in enumerate(kept)}
    store.write(named)
    assert store.read([*named, "unknown"]) == {key: replace(value, cached=True) for key, value in named.items()}


def test_the_first_answer_to_a_key_stays(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path)
    store.write({"key": Completion("first")})
    store.write({"key": Completion("second"), "other": Completion("third")})
    assert {key: value.text for key, value in store.read(["key", "other"]).items()} == {
        "key": "first",
        "other": "third",
    }


MIXED = [
    Request((Message("user", "Name a colour."),), sampling=Sampling(max_tokens=5)),
    Request((Message("user", "Name a colour."),), sampling=Sampling(temperature=1.0, max_tokens=5, seed=3)),
    Request((Message("user", "What colour is the sky?"),), labels=("red", "green", "blue")),
    Request((Message("user", "Name a colour."),), sampling=Sampling(max_tokens=5)),
    Request((Message("user", "Say it all. " * 300),), sampling=Sampling(max_tokens=5)),
]


def _no_engine() -> Engine:
    raise AssertionError("every answer is in the cache: no engine is needed")


def test_cached_answers_are_those_of_the_engine_and_need_none(tmp_path: Path, tiny_engine: TransformersEngine) -> None:
    plain = tiny_engine.generate(MIXED)
    assert plain[-1].error
    first = CachedEngine(lambda: tiny_engine, ResponseStore(tmp_path), IDENTITY)
    assert first.generate(MIXED) == plain
    again = CachedEngine(_no_engine, ResponseStore(tmp_path), IDENTITY)
    assert again.generate(MIXED) == [replace(completion, cached=True) for completion in plain]
    asked = {"calls": 5, "prompt_tokens": sum(c.prompt_tokens for c in plain)}
    asked |= {"completion_tokens": sum(c.completion_tokens for c in plain)}
    assert again.usage == Usage(**asked, cached_calls=5)
    assert first.usage == replace(
        Usage(**asked), computed_prompt_tokens=first.usage.computed_prompt_tokens, seconds=first.usage.seconds
    )
    assert 0 < first.usage.computed_prompt_tokens < first.usage.prompt_tokens
    assert first.usage.seconds > 0


def test_only_missing_answers_reach_the_engine_and_each_once(tmp_path: Path, recorder: Recorder) -> None:
    engine = CachedEngine(lambda: recorder, ResponseStore(tmp_path), IDENTITY)
    engine.generate(MIXED[:1])
    engine.generate([*MIXED, *MIXED])
    assert recorder.requests == [MIXED[0], *MIXED[1:3], MIXED[4]]
    assert engine.usage.calls == 11
    assert engine.usage.cached_calls == 4


def test_a_folder_that_cannot_be_used_ends_no_run_and_is_warned_about_once(
    tmp_path: Path, tiny_engine: TransformersEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    engine = CachedEngine(lambda: tiny_engine, ResponseStore(tmp_path / "file"), IDENTITY)
    for _ in range(2):
        assert engine.generate(MIXED) == tiny_engine.generate(MIXED)
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: The cache {tmp_path}/file/responses.sqlite cannot be read (")


def test_the_folder_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() is None
    monkeypatch.setenv("BT_RESPONSE_CACHE", "")
    assert cache_folder() is None
    monkeypatch.setenv("BT_RESPONSE_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere")


STEPS = """
import json, sys
from pathlib import Path
from tests.core.flow import Flow

settings = {"w": {"min_traces": 1, "epochs": 1, "rank": 2}, "bootstrap": {"threshold": 0.0, "attempts": 2}}
settings |= {"decoding": {"calibration": "train"}, "p": {"candidates": 2}}
flow = Flow.start(Path(sys.argv[1]), Path(sys.argv[2]), "tests.core.toy:task", **settings)
flow.bootstrap()
flow.w()
flow.bootstrap("w", "after")
flow.p("w", "after")
flow.reports.append(flow.evaluate("p"))
usage = [[report.usage.calls, report.usage.cached_calls, report.usage.seconds] for report in flow.reports]
trained = [report.metrics["train/cached"] for report in flow.reports if report.kind == "w"]
loaded = sorted({"torch", "transformers", "peft"} & set(sys.modules))
print(json.dumps({"usage": usage, "trained": trained, "loaded": loaded}))
"""


def _steps(folder: Path, model: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Run the steps in a process of their own; returns what they report, and every file that they left."""
    folder.mkdir()
    command = [sys.executable, "-c", STEPS, str(folder), str(model)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return json.loads(done.stdout.splitlines()[-1]), files


@pytest.mark.slow
def test_finished_steps_run_again_without_a_model(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BT_RESPONSE_CACHE", str(tmp_path / "cache"))
    first, files = _steps(tmp_path / "first", tiny_folder)
    again, files_again = _steps(tmp_path / "again", tiny_folder)
    assert (first["trained"], again["trained"]) == ([0.0], [1.0])
    assert (first["loaded"], again["loaded"]) == (["peft", "torch", "transformers"], [])
    calls = [asked for asked, _, _ in first["usage"]]
    assert all(calls)
    assert sum(cached for _, cached, _ in first["usage"]) < sum(calls)
    assert again["usage"] == [[asked, asked, 0.0] for asked in calls]
    assert files_again == files
    assert "w/adapter/adapter_model.safetensors" in files
