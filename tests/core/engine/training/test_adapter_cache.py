"""The cache of trained adapters: what decides its keys, that entries are whole, and how the weight step uses it."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from bt_core.config import EngineConfig, LoraConfig
from bt_core.engine.base import Message, TrainingRow
from bt_core.engine.cache_keys import base_identity, training_key
from bt_core.engine.training.adapter_cache import AdapterCache
from bt_core.engine.training.job import Curve
from tests.adapter_files import adapter_files
from tests.core.conftest import Recorder
from tests.core.flow import Flow
from tests.core.steps.test_defects import FEW, TOY, passing

CURVE = Curve([(1, 0.1 + 0.2), (2, 1e-320)], [(1, 2 / 3)], 1, 580, 1.25, 8)


def test_every_part_that_decides_an_adapter_has_a_key_of_its_own() -> None:
    identity = base_identity("model", "revision", EngineConfig())
    row = TrainingRow((Message("user", "sky?"),), "blue")
    rows, settings = [row, replace(row, completion="grey")], LoraConfig()
    keys = [
        training_key(identity, rows, [], settings, 0),
        training_key(identity, rows[::-1], [], settings, 0),
        training_key(identity, rows[:1], rows[1:], settings, 0),
        training_key(identity, [replace(row, messages=()), *rows[1:]], [], settings, 0),
        training_key(identity, rows, [], settings.model_copy(update={"learning_rate": 1e-3}), 0),
        training_key(identity, rows, [], settings, 1),
        training_key(base_identity("model", "other", EngineConfig()), rows, [], settings, 0),
        training_key(base_identity("model", "revision", EngineConfig(dtype="bfloat16")), rows, [], settings, 0),
        training_key(identity | {"versions": {"peft": "0"}}, rows, [], settings, 0),
    ]
    assert len(set(keys)) == len(keys)


def test_an_adapter_comes_back_with_its_curve(tmp_path: Path) -> None:
    cache = AdapterCache(tmp_path / "cache")
    assert cache.restore("key", tmp_path / "none") is None
    cache.keep("key", adapter_files(tmp_path / "made"), CURVE)
    assert cache.restore("key", tmp_path / "deep" / "restored") == replace(CURVE, cached=True)
    assert (tmp_path / "deep" / "restored" / "adapter_model.safetensors").read_bytes() == b"weights"
    assert cache.restore("other", tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    cache = AdapterCache(None)
    cache.keep("key", adapter_files(tmp_path / "made"), CURVE)
    assert cache.restore("key", tmp_path / "restored") is None
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_one_of_many_writers_leaves_its_whole_entry(tmp_path: Path) -> None:
    cache = AdapterCache(tmp_path / "cache")
    made = [adapter_files(tmp_path / str(number), str(number).encode() * 100_000) for number in range(8)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda number: cache.keep("key", made[number], replace(CURVE, tokens=number)), range(8)))
    curve = cache.restore("key", tmp_path / "restored")
    assert curve is not None
    assert (tmp_path / "restored" / "adapter_model.safetensors").read_bytes() == str(curve.tokens).encode() * 100_000
    assert [path.name for path in (tmp_path / "cache" / "adapters").iterdir()] == ["key"]


def _altered(entry: Path) -> None:
    (entry / "adapter_model.safetensors").write_bytes(b"weight5")


def _cut(entry: Path) -> None:
    curve = entry / "curve.json"
    curve.write_text(curve.read_text()[:40])


def _other_curve(entry: Path) -> None:
    curve = entry / "curve.json"
    curve.write_text(json.dumps({"adapter_sha256": json.loads(curve.read_text())["adapter_sha256"]}))


def _no_curve(entry: Path) -> None:
    (entry / "curve.json").unlink()


def _no_weights(entry: Path) -> None:
    (entry / "adapter_model.safetensors").unlink()


@pytest.mark.parametrize("damage", [_altered, _cut, _other_curve, _no_curve, _no_weights])
def test_a_damaged_entry_is_ignored_and_replaced(
    damage: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = AdapterCache(tmp_path / "cache")
    made = adapter_files(tmp_path / "made")
    cache.keep("key", made, CURVE)
    damage(tmp_path / "cache" / "adapters" / "key")
    assert cache.restore("key", tmp_path / "restored") is None
    assert not (tmp_path / "restored").exists()
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: The cached adapter {tmp_path}/cache/adapters/key was damaged (")
    cache.keep("key", made, CURVE)
    assert cache.restore("key", tmp_path / "restored") == replace(CURVE, cached=True)


def test_a_folder_that_cannot_be_used_ends_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = AdapterCache(tmp_path / "file")
    cache.keep("key", adapter_files(tmp_path / "made"), CURVE)
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: The adapter cannot be kept in the cache {tmp_path}/file/adapters (")
    assert cache.restore("key", tmp_path / "restored") is None


def test_the_weight_step_trains_once_for_the_same_rows_and_settings(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, **FEW)
    passing(flow)
    adapters = [flow.w(out="uncached").adapters]
    reports = [flow.last]
    monkeypatch.setenv("BT_RESPONSE_CACHE", str(tmp_path / "cache"))
    for name in ("first", "second"):
        adapters.append(flow.w(out=name).adapters)
        reports.append(flow.last)
    passing(flow, 5)
    adapters.append(flow.w(out="other").adapters)
    reports.append(flow.last)
    assert [report.metrics["train/cached"] for report in reports] == [0.0, 0.0, 1.0, 0.0]
    assert adapters[0] == adapters[1] == adapters[2] != adapters[3]
    assert reports[2].series == reports[1].series
    assert reports[2].metrics == reports[1].metrics | {"train/cached": 1.0}


def test_adapters_of_predictors_are_kept_apart(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BT_RESPONSE_CACHE", str(tmp_path / "cache"))
    settings = {"w": FEW["w"] | {"adapters": "per_predictor", "holdout": 0.0}}
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, **settings)
    passing(flow)
    first = flow.w(out="first").adapters
    assert flow.w(out="second").adapters == first
    assert len(first) == 2
    assert flow.last.metrics["train/cached"] == 1.0
    assert len(list((tmp_path / "cache" / "adapters").iterdir())) == 2
