"""Metrics for a task's end result, ready to be given to `Task.metric`.

Each function here makes a metric for one field: `exact_match("answer")` compares `prediction.answer` with the column
`answer` of the example, `exact_match("answer", "gold")` with the column `gold`. A column that holds a list has several
right answers, of which the one with the best score counts. Every metric returns a number from 0 to 1.
"""

from bt_core.metrics.judge import judge
from bt_core.metrics.making import Metric, field_metric
from bt_core.metrics.numbers import (
    first_line_number,
    gsm8k_first_line,
    gsm8k_official,
    last_number,
    marked_number,
    numeric,
)
from bt_core.metrics.structure import json_fields, label_accuracy, regex
from bt_core.metrics.text import exact_match, exact_score, f1, f1_score, normalise

__all__ = [
    "Metric",
    "exact_match",
    "exact_score",
    "f1",
    "f1_score",
    "field_metric",
    "first_line_number",
    "gsm8k_first_line",
    "gsm8k_official",
    "json_fields",
    "judge",
    "label_accuracy",
    "last_number",
    "marked_number",
    "normalise",
    "numeric",
    "regex",
]
