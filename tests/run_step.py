"""A step of a run as result.json describes it, for tests of what shows it."""

from typing import Any

STEP: dict[str, Any] = {
    "stage": "1.p",
    "kind": "p",
    "validation_before": 0.25,
    "validation": 0.5,
    "seconds": 61.04,
    "lm_calls": 1234,
    "cached_calls": 0,
    "prompt_tokens": 56789,
    "computed_prompt_tokens": 5678,
    "completion_tokens": 321,
    "train_tokens": 0,
    "train_cached": False,
    "traces_kept": 26,
    "traces_total": 60,
    "warnings": [],
}
