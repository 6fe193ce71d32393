"""Under which id and revision others can get a base model."""

import re
from dataclasses import dataclass

from bt_core.errors import ConfigError
from bt_core.models.embedded import EMBEDDED_MODEL

#: The model on the hub of which the embedded one is a copy in 4 bits.
_EMBEDDED_ON_HUB = ("HuggingFaceTB/SmolLM2-135M-Instruct", "12fd25f77366fa6b3b4b768ec3050bf629380bac")
_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
#: A commit of the hub; the revision of a folder is a sha256, which is longer.
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubModel:
    """A model on the Hugging Face hub. `is_copy` says that the weights here are the same, number by number."""

    id: str
    revision: str
    is_copy: bool = True


def on_hub(model: str, revision: str) -> HubModel | None:
    """The model of the hub that a program's base model is, or was made of; None for a folder, here or in S3.

    Args:
        model, revision: as a program names its base model.
    """
    if model == EMBEDDED_MODEL:
        return HubModel(*_EMBEDDED_ON_HUB, is_copy=False)
    if _ID.fullmatch(model) and _COMMIT.fullmatch(revision):
        return HubModel(model, revision)
    return None


def parse_hub_model(text: str) -> HubModel:
    """A model of the hub as a user writes it, `ORG/NAME@REVISION`.

    Raises:
        ConfigError: when it is not written so.
    """
    name, at, revision = text.partition("@")
    if not at or not revision or not _ID.fullmatch(name):
        raise ConfigError(f"The base model {text!r} is no id and revision of the hub: write ORG/NAME@REVISION.")
    return HubModel(name, revision)
