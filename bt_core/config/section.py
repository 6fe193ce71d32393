"""The base of every group of settings, and one sentence for all mistakes in it, each with its key."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bt_core.errors import ConfigError


class Section(BaseModel):
    """A group of settings; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Checked = TypeVar("Checked", bound=BaseModel)
#: Type of a mistake whose message is complete and does not repeat the value, which may be a secret.
PLAIN = "plain"


def validated(kind: type[Checked], values: Mapping[str, Any], source: str, hint: str, prefix: str = "") -> Checked:
    """Check the values as a section of that kind.

    Args:
        kind: the pydantic model that declares the keys.
        values: key -> value.
        source: where the values come from, for the error message.
        hint: where the keys are listed, for the error message.
        prefix: what the error message writes before each key, such as `task_settings.`.

    Raises:
        ConfigError: with every mistake, each with its key, in one sentence.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        mistakes = "; ".join(_mistake(detail, prefix) for detail in error.errors())
        count = error.error_count()
        what, them = ("mistakes", "them") if count > 1 else ("mistake", "it")
        raise ConfigError(f"{count} {what} in {source}: {mistakes}. Correct {them} and run again; {hint}.") from None


def _mistake(detail: Mapping[str, Any], prefix: str = "") -> str:
    key = prefix + ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"`{key}` is no setting"
    if detail["type"] == "missing":
        return f"`{key}` is missing"
    if detail["type"] == PLAIN:
        return f"`{key}` {detail['msg']}" if key else str(detail["msg"])
    return f"`{key}` is {detail['input']!r}, but {str(detail['msg'])[0].lower()}{str(detail['msg'])[1:]}"
