"""The verdict's error rate on simulated sweeps, and that docs/statistics.md states the measured rates."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bt_core.statistics import Arm, Word, compare, judge
from bt_core.statistics.power import plan
from bt_core.statistics.simulate import CLAIMED, Truth, draw, outcomes

MEASURED = json.loads((Path(__file__).parents[3] / "docs" / "data" / "statistics_simulation.json").read_text("utf-8"))


def scenario(group: str, rows: int, spread: str) -> dict[str, Any]:
    (found,) = (
        one
        for one in MEASURED["scenarios"]
        if (one["group"], one["truth"]["rows"], one["spread"]) == (group, rows, spread)
    )
    return found


def measure(found: dict[str, Any], sweeps: int = MEASURED["sweeps"]) -> dict[str, float]:
    return outcomes(Truth(**found["truth"]), sweeps, MEASURED["seed"], MEASURED["margin"])


@pytest.mark.parametrize("spread", ["0", "0.03"])
def test_equal_arms_are_seldom_said_to_differ(spread: str) -> None:
    recorded = scenario("all equal", 150, spread)
    found = measure(recorded)
    assert found[CLAIMED] <= 0.05
    assert found == pytest.approx(recorded["outcomes"], abs=0.005)  # what the documentation states


@pytest.mark.parametrize("group", ["all equal", "prompts help"])
def test_equal_arms_are_seldom_said_to_differ_with_many_rows_and_varied_weights(group: str) -> None:
    found = measure(scenario(group, 1000, "0.01, with weights 0.06"))
    assert found[CLAIMED if group == "all equal" else Word.WEIGHTS_PAY] <= 0.05


def test_every_recorded_error_rate_of_a_full_sweep_holds() -> None:
    wrong = [
        one["outcomes"][CLAIMED if one["group"] == "all equal" else Word.WEIGHTS_PAY]
        for one in MEASURED["scenarios"]
        if one["group"] in ("all equal", "prompts help") and len(one["truth"]["means"]) == 8
    ]
    assert len(wrong) == 22
    assert max(wrong) <= 0.05


def test_a_gain_above_the_margin_is_seldom_called_nothing() -> None:
    found = measure(scenario("gain 0.05", 1000, "0.03"), 500)
    assert found[Word.PROMPTS_SUFFICE] + found[Word.NONE_BEATS_VANILLA] <= 0.05


def test_power_is_as_recorded() -> None:
    recorded = scenario("gain 0.10", 150, "0.03")
    assert measure(recorded, 300)[Word.WEIGHTS_PAY] == pytest.approx(recorded["outcomes"][Word.WEIGHTS_PAY], abs=0.08)


def test_a_planned_sweep_usually_finds_its_gap() -> None:
    truth = Truth(0.4, {"p": 0.55, "p -> p": 0.55, "w": 0.65, "p -> w": 0.65}, rows=100)
    rng = np.random.default_rng(0)
    tables = [compare(*draw(truth, rng)) for _ in range(100)]
    plans = [plan(table.arm(table.weights).versus_prompts.basis, 0.1, alpha=0.05) for table in tables]
    rows, seeds = (int(np.median([getattr(one, what) for one in plans])) for what in ("rows", "seeds"))
    assert rows > 100
    found = outcomes(replace(truth, rows=rows, seeds=seeds), 300, seed=1)
    assert 0.6 <= found[Word.WEIGHTS_PAY] <= 0.9  # for 0.8; docs/statistics.md says so


def test_graded_scores_keep_the_level() -> None:
    truth = Truth(0.5, dict.fromkeys(("p", "p -> p", "w", "p -> w"), 0.5), rows=400, seed_sd=0.03)
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(300):
        vanilla, arms = draw(truth, rng)
        table = compare(_graded(vanilla), [_graded(arm) for arm in arms])
        wrong += judge(table).word == Word.WEIGHTS_PAY or any(line.versus_vanilla.beats(0.05) for line in table.arms)
    assert wrong / 300 <= 0.05


def _graded(arm: Arm) -> Arm:
    """A quarter of the rows, each scored by the mean of four."""
    scores = {seed: np.reshape(found, (-1, 4)).mean(axis=1) for seed, found in arm.scores.items()}
    return Arm(arm.name, arm.has_weights, scores, arm.validation)
