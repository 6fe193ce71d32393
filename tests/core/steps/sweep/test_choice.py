"""Which program a sweep ships: by validation, within a price, or by name."""

from pathlib import Path
from typing import Any

import pytest

from bt_core.errors import ConfigError
from bt_core.steps.sweep.choice import Choice
from bt_core.strategy import parse_strategy
from tests.core.steps.sweep.test_compare_arms import RIGHT, VALIDATED, compared, made_up


def winner(folder: Path, choice: Choice, validated: Any = VALIDATED) -> tuple[Any, str]:
    sweep, found = compared(folder, made_up(RIGHT, validated), choice=choice)
    return sweep["winner"], found.program


def test_validation_chooses_at_any_price(tmp_path: Path) -> None:
    chosen, program = winner(tmp_path, Choice())
    assert chosen == {"arm": "p", "seed": 3, "chosen_by": "validation", "max_prompt_tokens": None}
    assert program == "program of s3.p.score"


@pytest.mark.parametrize(
    ("limit", "arm"), [(1000.0, "p -> w"), (52.0, "p -> w"), (51.0, "p"), (50.0, None)], ids=lambda value: str(value)
)
def test_a_price_leaves_dearer_arms_out(limit: float, arm: str | None, tmp_path: Path) -> None:
    """Programs of one step take 51 prompt tokens a row, that of two steps takes 52, and vanilla 50."""
    chosen, program = winner(tmp_path, Choice(limit), {"p": 0.8, "w": 0.6, "p -> w": (0.8, 0.9, 0.8)})
    if arm is None:
        assert chosen is None
        assert program == "program of s3.score"
    else:
        assert (chosen["arm"], chosen["chosen_by"]) == (arm, "validation within the price")
        assert (chosen["seed"], chosen["max_prompt_tokens"]) == (8 if arm == "p -> w" else 3, limit)


def test_an_arm_that_does_not_beat_vanilla_is_not_shipped_for_its_price(tmp_path: Path) -> None:
    assert winner(tmp_path, Choice(51.0), {"p": 0.4, "w": 0.5, "p -> w": 0.9})[0] is None


def test_a_named_program_is_shipped_whatever_its_scores(tmp_path: Path) -> None:
    chosen, program = winner(tmp_path, Choice(named="w@9"))
    assert (chosen["arm"], chosen["seed"], chosen["chosen_by"]) == ("w", 9, "name")
    assert program == "program of s9.w.score"


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"named": "w"}, r"--ship w names no program: write STRATEGY@SEED, such as 'p -> w@0'\."),
        ({"named": "w@one"}, r"--ship w@one names no program"),
        ({"named": "@1"}, r"--ship @1 names no program"),
        ({"named": "w@1", "most_prompt_tokens": 5.0}, r"--ship names the program already"),
        ({"most_prompt_tokens": -1.0}, r"--max-prompt-tokens is -1\.0: give the most prompt tokens a row, such as 100"),
        ({"most_prompt_tokens": float("nan")}, r"--max-prompt-tokens is nan"),
    ],
)
def test_rules_that_say_nothing_are_refused(choice: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Choice(**choice)


@pytest.mark.parametrize("name", ["w@4", "w -> p@3"])
def test_a_program_of_another_sweep_is_refused(name: str, tmp_path: Path) -> None:
    sentence = r"is no program of this sweep: name one of p; w; p -> w and, behind `@`, one of the seeds 3, 8, 9\."
    with pytest.raises(ConfigError, match=sentence):
        Choice(named=name).check([parse_strategy(arm) for arm in ("p", "w", "p -> w")], (3, 8, 9))
    with pytest.raises(ConfigError, match=sentence):
        winner(tmp_path, Choice(named=name))
