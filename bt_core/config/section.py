"""The base of every group of settings, and one sentence for all mistakes in it, each with its key."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from bt_core.errors import ConfigError
from bt_core.trust.credentials import endpoint_fault, has_credentials, key_variable_fault, redact

#: The largest number of a setting. Up to here every reader of JSON takes the same one (RFC 8259, section 6).
MOST = 10**15 - 1
#: How much of a wrong value a sentence shows.
LONGEST_VALUE = 200
#: How much of one part of a key a sentence shows.
LONGEST_KEY = 80


class Section(BaseModel):
    """A group of settings; unknown keys, infinities, and true or false in the place of a number are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Text becomes a number, since a command line has nothing else. True would become 1, which nobody means."""
        if isinstance(value, bool) and info.field_name:
            annotation = cls.model_fields[info.field_name].annotation
            if {annotation, *get_args(annotation)} & {int, float}:
                raise PydanticCustomError("number", "Input should be a number")
        return value

    @field_validator("*")
    @classmethod
    def _no_endless_number(cls, value: Any) -> Any:
        if isinstance(value, int) and abs(value) > MOST:
            raise PydanticCustomError("number", "Input should have at most 15 digits")
        return value


Checked = TypeVar("Checked", bound=BaseModel)
#: Type of a mistake whose message is complete and does not repeat the value, which may be a secret.
PLAIN = "plain"


def _without(fault: Callable[[str], str]) -> AfterValidator:
    """A check of a text by a function that says what is wrong with it, without repeating it."""

    def check(value: str) -> str:
        if message := fault(value):
            raise PydanticCustomError(PLAIN, "{message}", {"message": message})
        return value

    return AfterValidator(check)


def _address_fault(address: str) -> str:
    return "holds a password or a key, which everybody could read: leave it out" if has_credentials(address) else ""


#: Texts that must hold no secret: the base of an endpoint, the name of a variable with its key, and any other address.
EndpointAddress = Annotated[str, _without(endpoint_fault)]
KeyVariable = Annotated[str, _without(key_variable_fault)]
Address = Annotated[str, _without(_address_fault)]


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
    key = prefix + ".".join(str(part)[:LONGEST_KEY] for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"`{key}` is no setting"
    if detail["type"] == "missing":
        return f"`{key}` is missing"
    if detail["type"] == PLAIN:
        return f"`{key}` {detail['msg']}" if key else str(detail["msg"])
    return f"`{key}` is {_shown(detail['input'])}, but {str(detail['msg'])[0].lower()}{str(detail['msg'])[1:]}"


def _shown(value: Any) -> str:
    """The value for a sentence, less any password in its addresses."""
    text = repr(value)
    return (redact(text) if has_credentials(text) else text)[:LONGEST_VALUE]
