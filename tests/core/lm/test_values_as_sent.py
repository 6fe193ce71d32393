"""Fine-tuning sees each value as the prompt had it, whatever types the program's objects have."""

import collections
import dataclasses
import enum
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import dspy
import numpy as np
import pydantic
import pytest

from bt_core.formats.traces import read_traces
from bt_core.records import write_traces
from tests.core.lm.wild_programs import calls, sent, trained
from tests.core.scripted import Wild


@dataclasses.dataclass
class Pair:
    name: str
    number: int


class Kind(pydantic.BaseModel):
    kind: str = "base"


class Special(Kind):
    extra: str = "more"


class Aliased(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True)
    first_name: str = pydantic.Field(alias="firstName")


class Hidden(pydantic.BaseModel):
    shown: int = 1
    hidden: str = pydantic.Field("secret", exclude=True)

    @pydantic.computed_field
    def twice(self) -> int:
        return self.shown * 2


class Color(enum.Enum):
    RED = "red"


class Count(enum.Enum):
    ONE = 1


DAY, NOON = date(2024, 1, 5), datetime(2024, 1, 5, 12, 0)

#: What it is -> (type of the field, value). `str` is the type of a field without one.
VALUES: dict[str, tuple[Any, Any]] = {
    "date without type": (str, DAY),
    "datetime without type": (str, NOON),
    "decimal without type": (str, Decimal("1.10")),
    "set without type": (str, {"a"}),
    "tuple without type": (str, ("a", "b")),
    "list without type": (str, ["a", "b"]),
    "dict without type": (str, {"a": 1}),
    "dict of numbers without type": (str, {1: "a"}),
    "dataclass without type": (str, Pair("x", 1)),
    "model without type": (str, Hidden()),
    "numpy float without type": (str, np.float32(0.1)),
    "numpy array without type": (str, np.array([1, 2])),
    "bytes without type": (str, b"abc"),
    "nothing without type": (str, None),
    "bool without type": (str, True),
    "float without type": (str, 1e20),
    "not a number without type": (str, float("nan")),
    "enum without type": (str, Color.RED),
    "any date": (Any, DAY),
    "any set": (Any, {"a"}),
    "any model": (Any, Hidden()),
    "any complex": (Any, 1 + 2j),
    "dict of any": (dict[str, Any], {"d": DAY, "n": (1, 2)}),
    "list of any": (list[Any], [Hidden(hidden="other")]),
    "list": (list, [DAY]),
    "decimal": (Decimal, Decimal("1.10")),
    "set": (set[str], {"a"}),
    "tuple": (tuple[str, int], ("a", 1)),
    "dict of numbers": (dict[int, str], {1: "a"}),
    "dict of enums": (dict[Color, int], {Color.RED: 1}),
    "defaultdict": (dict, collections.defaultdict(int, {"a": 1})),
    "dataclass": (Pair, Pair("x", 1)),
    "model of a subclass": (Kind, Special()),
    "model with an alias": (Aliased, Aliased(firstName="Ada")),
    "model with hidden fields": (Hidden, Hidden(hidden="other")),
    "number as text": (int | str, "5"),
    "text as number": (str | int, 5),
    "date as text": (date | str, "2024-01-05"),
    "no date": (date | None, None),
    "time as text": (time, "10:00:00"),
    "time": (time, time(10, 0)),
    "duration": (timedelta, timedelta(hours=1)),
    "datetime with zone": (datetime, NOON.replace(tzinfo=UTC)),
    "uuid": (UUID, UUID(int=5)),
    "bytes": (bytes, b"abc"),
    "bytes that are no text": (bytes, b"\xff\xfe"),
    "enum of numbers": (Count, Count.ONE),
    "literal number": (Literal[1, 2], 1),
    "infinity": (float, float("inf")),
    "not a number": (float, float("nan")),
}


@pytest.mark.parametrize("adapter", ["line", "chat"])
@pytest.mark.parametrize("name", VALUES)
def test_training_prompts_are_those_that_were_sent(name: str, adapter: str, tmp_path: Path) -> None:
    annotation, value = VALUES[name]

    class Use(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            signature = dspy.Signature("value: T, question -> answer", "Use.", custom_types={"T": annotation})
            self.use = dspy.Predict(signature)

        def forward(self, question: str) -> Any:
            return self.use(value=value, question=question)

    answer = "fine" if adapter == "line" else "[[ ## answer ## ]]\nfine\n\n[[ ## completed ## ]]"
    wild = Wild(Use, lambda prompt, request: answer, **({} if adapter == "line" else {"adapter": None}))
    write_traces(tmp_path / "traces", [wild.one("q")])
    (read,) = read_traces(tmp_path / "traces")
    assert trained(wild, read) == sent(wild)


def test_an_input_that_the_program_changes_later_is_kept_as_it_was_sent() -> None:
    class Collect(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.next = dspy.Predict("notes: list[str] -> note")

        def forward(self, question: str) -> Any:
            notes = [question]
            for _ in range(2):
                notes.append(self.next(notes=notes).note)
            return dspy.Prediction(answer=notes[-1])

    wild = Wild(Collect, lambda prompt, request: "one more")
    trace = wild.one("q")
    assert [inputs for _, inputs, _ in calls(trace)] == [{"notes": ["q"]}, {"notes": ["q", "one more"]}]
    assert trained(wild, trace) == sent(wild)
