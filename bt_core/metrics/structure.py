"""Labels, patterns and JSON."""

import json
import re
from collections.abc import Sequence
from typing import Any

from bt_core.errors import ConfigError
from bt_core.metrics.making import Metric, field_metric, named, value_of


def label_accuracy(field: str, label: str = "") -> Metric:
    """Whether the label is the right one; case and surrounding space do not count."""

    def score(predicted: str, right: str) -> float:
        return float(predicted.strip().casefold() == right.strip().casefold())

    return field_metric("label_accuracy", score, field, label)


def regex(field: str, pattern: str, label: str = "") -> Metric:
    """Whether the pattern is found in the field and what it found is right.

    What it found is its first group, or all of the match where it has none. The right answer is compared as it stands.

    Raises:
        ConfigError: when the pattern is no regular expression.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"The metric's pattern {pattern!r} is no regular expression ({error}): mend it.") from None

    def score(predicted: str, right: str) -> float:
        match = compiled.search(predicted)
        return float(match is not None and (match[1] if compiled.groups else match[0]) == right)

    return field_metric("regex", score, field, label)


def json_fields(field: str, keys: Sequence[str], label: str = "") -> Metric:
    """The share of the keys whose values are those of the right answer; 0 where the field holds no JSON object.

    Both are JSON texts or objects; values are compared as JSON, so `1` and `1.0` are equal and `"1"` is another.

    Raises:
        ConfigError: when no key is named.
    """
    if not keys:
        raise ConfigError("The metric compares no keys of the JSON objects: name some.")

    def metric(example: Any, prediction: Any) -> float:
        found, wanted = _object(value_of(prediction, field)), _object(value_of(example, label or field))
        same = [key for key in keys if key in found and found[key] == wanted.get(key)]
        return len(same) / len(keys)

    return named("json_fields", metric)


def _object(value: Any) -> dict[str, Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
