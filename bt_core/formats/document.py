"""What the models of our JSON files have in common: strict keys and types, canonical text, mistakes as one sentence."""

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bt_core.errors import DataError
from bt_core.json_text import BrokenJson, bounded_bytes, parse_json
from bt_core.records import canonical_json

#: How many mistakes of a file its sentence names.
MOST_MISTAKES = 5
#: How much of a wrong value a sentence shows.
LONGEST_VALUE = 40
#: How much of one part of a key a sentence shows.
LONGEST_KEY = 80
#: The places of a file's schema version.
_SCHEMA_KEYS = (("schema",), ("schema_version",))
#: Up to here, every reader of JSON takes the same whole number (RFC 8259, section 6).
_LARGEST_COUNT = 2**53

Score = Annotated[float, Field(ge=0.0, le=1.0)]
"""What a metric returns, or a mean of that."""
Gain = Annotated[float, Field(ge=-1.0, le=1.0)]
"""A difference of two scores."""
Share = Annotated[float, Field(ge=0.0, le=1.0)]
"""A probability, such as a p value."""
Amount = Annotated[float, Field(ge=0.0)]
"""Seconds, or a mean number of something."""
Count = Annotated[int, Field(ge=0, le=_LARGEST_COUNT)]
Seed = Annotated[int, Field(ge=0, le=_LARGEST_COUNT)]


class Unreadable(Exception):
    """What is wrong with a text, in words: its values."""


class NoJson(Unreadable):
    """What is wrong with a text, in words: it is no JSON."""


class OtherSchema(Unreadable):
    """A file of another schema version; `version` is how a sentence shows it."""

    def __init__(self, version: Any) -> None:
        self.version = reprlib.repr(version)
        super().__init__(f"it has schema {self.version}")


class Part(BaseModel):
    """An object in a file: no keys but its own are allowed, and all that have no default are required."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, from_attributes=True)

    def content(self) -> dict[str, Any]:
        """The object as JSON values, such as text, lists and numbers."""
        return self.model_dump(mode="json", by_alias=True)


PartOf = TypeVar("PartOf", bound=Part)


def load(kind: type[PartOf], text: bytes | str) -> PartOf:
    """Read a JSON text as an object of that kind. Everything that we read back goes through here.

    Raises:
        NoJson: when it is no JSON that `parse_json` takes.
        OtherSchema: when the object has another schema version than the kind.
        Unreadable: when it is another object; says which keys are wrong.
    """
    try:
        parse_json(text)
        return kind.model_validate_json(text)
    except BrokenJson as error:
        raise NoJson(f"broken JSON: {error}") from None
    except ValidationError as error:
        raise _unreadable(error.errors()) from None


def _unreadable(mistakes: Sequence[Mapping[str, Any]]) -> Unreadable:
    for mistake in mistakes:
        if mistake["type"] == "literal_error" and mistake["loc"] in _SCHEMA_KEYS:
            return OtherSchema(mistake["input"])
    return Unreadable(tell_mistakes(mistakes))


class Document(Part):
    """A whole file."""

    #: What to do about a file that cannot be read, at the end of the sentence.
    remedy: ClassVar[str]

    def write(self, path: Path) -> None:
        """Write the file as canonical JSON, and the folders above it where they are missing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text(), encoding="utf-8")

    def text(self) -> str:
        """The file's text: the same for the same values."""
        return canonical_json(self.content())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            DataError: when it is missing or is not such a file; says which keys are wrong.
        """
        try:
            text = bounded_bytes(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}): {cls.remedy}.") from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: bytes | str, source: str) -> Self:
        """Read the file's text; `source` says in the sentence where it comes from.

        Raises:
            DataError: when it is not the text of such a file; says which keys are wrong.
        """
        try:
            return load(cls, text)
        except NoJson as error:
            raise DataError(f"{source} cannot be read ({error}): {cls.remedy}.") from None
        except OtherSchema as error:
            raise DataError(
                f"{source} has schema {error.version}, which this version cannot read: make it again with this version."
            ) from None
        except Unreadable as error:
            raise DataError(f"{source}: {error}; {cls.remedy}.") from None


def tell_mistakes(mistakes: Sequence[Mapping[str, Any]]) -> str:
    """Pydantic's mistakes in words, each with its key; of many, the first ones."""
    words = [_words(mistake) for mistake in mistakes[:MOST_MISTAKES]]
    more = len(mistakes) - len(words)
    return ", ".join(words) + (f" and {more} more" if more else "")


def _words(mistake: Mapping[str, Any]) -> str:
    key = ".".join(str(part)[:LONGEST_KEY] for part in mistake["loc"] if part != "[key]")
    if mistake["type"] == "missing":
        return f"`{key}` is missing"
    if mistake["type"] == "extra_forbidden":
        return f"`{key}` is unknown"
    value = repr(mistake["input"])
    shown = value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}..."
    expected = str(mistake["msg"]).removeprefix("Input ")
    return f"`{key}` is {shown} and {expected}" if key else f"the content is {shown} and {expected}"
