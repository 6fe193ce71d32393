"""What docs/retraining.md says of a year of retraining: the recorded figures, and that a small simulation agrees."""

import importlib.util
import json
from math import sqrt
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from bt_core.statistics.promotion import STAKES, bet, evidence

ROOT = Path(__file__).parents[3]
MEASURED: dict[str, Any] = json.loads((ROOT / "docs" / "data" / "retraining_simulation.json").read_text("utf-8"))
YEARS = 400


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulation", ROOT / "docs" / "tools" / "retraining_simulation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_equal_challengers_are_seldom_promoted_in_a_year() -> None:
    """Audit 6: an equal challenger was promoted 0.8, 3.9 and 5.7 times a year; at most 1 in 100 challengers now."""
    for rows, before, now in (("20", 0.8, 0.15), ("50", 3.9, 0.15), ("150", 5.7, 0.17)):
        found = MEASURED["equal"][rows]
        assert found["nightly"]["a year"] == pytest.approx(before, rel=0.15)
        assert found["carried"]["a year"] == pytest.approx(now, abs=0.06)
        assert found["carried"]["years with one"] <= 0.2


def test_a_true_gain_is_adopted_in_time() -> None:
    nights = {rows: found["carried"]["nights"] for rows, found in MEASURED["gains"]["0.10"].items()}
    assert nights == {"20": 10.0, "50": pytest.approx(4.0, abs=1.0), "150": 2.0}
    for gain in ("0.05", "0.10"):
        for found in MEASURED["gains"][gain].values():
            assert found["carried"]["excess"] < found["nightly"]["excess"]


def test_the_drift_report_and_skewed_scores_keep_their_levels() -> None:
    for rows in ("20", "50", "150"):
        assert MEASURED["false alarms"][rows]["against a score after the promotion"] <= 0.01
        assert MEASURED["false alarms"][rows]["against the score at the promotion"] > 0.03
        assert MEASURED["skewed"][rows]["carried"] <= 0.01
        assert MEASURED["skewed"][rows]["nightly"] > 0.05


@pytest.mark.parametrize("rows", [20, 50, 150])
def test_a_smaller_simulation_gives_the_recorded_figures(simulation: ModuleType, rows: int) -> None:
    rng = np.random.default_rng(1)
    recorded, found = MEASURED["equal"][str(rows)], simulation.equal(rows, YEARS, rng)
    for method in ("nightly", "carried"):
        rate, share = recorded[method]["a year"], recorded[method]["years with one"]
        assert found[method]["a year"] == pytest.approx(rate, abs=4 * sqrt(rate / YEARS))
        assert found[method]["years with one"] == pytest.approx(share, abs=4 * sqrt(share * (1 - share) / YEARS) + 0.01)
    recorded, found = MEASURED["gains"]["0.10"][str(rows)], simulation.adoption(rows, 0.1, YEARS, rng)
    assert found["carried"]["nights"] == pytest.approx(recorded["carried"]["nights"], abs=2.0)
    assert found["carried"]["excess"] == pytest.approx(recorded["carried"]["excess"], abs=0.02)
    alarms = MEASURED["false alarms"][str(rows)], simulation.false_alarms(rows, 100_000, rng)
    for name, rate in alarms[0].items():
        assert alarms[1][name] == pytest.approx(rate, abs=0.025)
    assert simulation.skewed(rows, YEARS, rng)["carried"] <= 0.02


def test_the_simulation_bets_as_a_retraining_does(simulation: ModuleType) -> None:
    growth = 7 * np.log1p(STAKES) + 2 * np.log1p(-STAKES)
    night = bet([0.0] * 7 + [1.0] * 2 + [1.0], [1.0] * 7 + [0.0] * 2 + [1.0], 0.0)
    assert night.growth == pytest.approx(tuple(growth))
    wins, over = simulation.judged(np.array([growth, -20 * STAKES, growth]), np.array([1, 1, 14]))
    assert evidence([night], 0.0).e_value < 100.0
    assert (wins.tolist(), over.tolist()) == ([False] * 3, [False, True, True])
