"""What the models of our JSON files have in common: strict keys and types, canonical text, mistakes as one sentence."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from bt_core.errors import DataError
from bt_core.records import canonical_json

#: How many mistakes of a file its sentence names.
MOST_MISTAKES = 5
#: How much of a wrong value a sentence shows.
LONGEST_VALUE = 40
#: Type and place of the mistake that a file of another schema version has.
_OTHER_SCHEMA = ("literal_error", ("schema",))


class Part(BaseModel):
    """An object in a file: all its keys are required, and no others are allowed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, from_attributes=True)

    def content(self) -> dict[str, Any]:
        """The object as JSON values, such as text, lists and numbers."""
        return self.model_dump(mode="json", by_alias=True)


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
            text = path.read_bytes()
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
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise DataError(_sentence(source, error.errors(), cls.remedy)) from None


def _sentence(source: str, mistakes: Sequence[Mapping[str, Any]], remedy: str) -> str:
    other = [mistake["input"] for mistake in mistakes if (mistake["type"], mistake["loc"]) == _OTHER_SCHEMA]
    if other:
        return f"{source} has schema {other[0]!r}, which this version cannot read: make it again with this version."
    if mistakes[0]["type"] == "json_invalid":
        reason = str(mistakes[0]["msg"]).removeprefix("Invalid JSON: ")
        return f"{source} cannot be read (broken JSON: {reason}): {remedy}."
    return f"{source}: {tell_mistakes(mistakes)}; {remedy}."


def tell_mistakes(mistakes: Sequence[Mapping[str, Any]]) -> str:
    """Pydantic's mistakes in words, each with its key; of many, the first ones."""
    words = [_words(mistake) for mistake in mistakes[:MOST_MISTAKES]]
    more = len(mistakes) - len(words)
    return ", ".join(words) + (f" and {more} more" if more else "")


def _words(mistake: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in mistake["loc"] if part != "[key]")
    if mistake["type"] == "missing":
        return f"`{key}` is missing"
    if mistake["type"] == "extra_forbidden":
        return f"`{key}` is unknown"
    value = repr(mistake["input"])
    shown = value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}..."
    expected = str(mistake["msg"]).removeprefix("Input ")
    return f"`{key}` is {shown} and {expected}" if key else f"the content is {shown} and {expected}"
