"""Metrics for labels, patterns and JSON."""

import json
import re
from collections.abc import Sequence
from typing import Any

from bt_core.errors import ConfigError
from bt_core.metrics.making import Metric, field_metric, named, value_of


def label_accuracy(field: str, label: str = "") -> Metric:
    """Whether the label is the right one; case and surrounding spaces are ignored."""

    def score(predicted: str, right: str) -> float:
        return float(predicted.strip().casefold() == right.strip().casefold())

    return field_metric("label_accuracy", score, field, label)


def regex(field: str, pattern: str, label: str = "") -> Metric:
    """Whether the pattern matches in the field and the matched text is the right answer, character by character.

    The matched text is the first group of the pattern, or the whole match where it has no group.

    Raises:
        ConfigError: when the pattern is not a regular expression.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"The metric's pattern {pattern!r} is not a regular expression ({error}): correct it."
        ) from None

    def score(predicted: str, right: str) -> float:
        match = compiled.search(predicted)
        return float(match is not None and (match[1] if compiled.groups else match[0]) == right)

    return field_metric("regex", score, field, label)


def json_fields(field: str, keys: Sequence[str], label: str = "") -> Metric:
    """The share of the keys whose values equal those of the right answer; 0 where the field holds no JSON object.

    Both are JSON texts or objects. Values are compared as JSON: `1` and `1.0` are equal, `1` and `"1"` are not.

    Raises:
        ConfigError: when no key is named.
    """
    if not keys:
        raise ConfigError("The metric has no keys of the JSON objects to compare: name some.")

    def metric(example: Any, prediction: Any) -> float:
        predicted, right = _object(value_of(prediction, field)), _object(value_of(example, label or field))
        same = [key for key in keys if key in predicted and predicted[key] == right.get(key)]
        return len(same) / len(keys)

    return named("json_fields", metric)


def _object(value: Any) -> dict[str, Any]:
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, or nested as deeply
        return {}
    return parsed if isinstance(parsed, dict) else {}
