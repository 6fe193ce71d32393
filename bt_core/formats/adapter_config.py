"""`adapter_config.json`, which PEFT writes beside an adapter's weights: the keys that we read ourselves."""

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from bt_core.formats.document import Document


class AdapterConfig(Document):
    """PEFT's `LoraConfig`; its other keys are PEFT's own and are left to it."""

    model_config = ConfigDict(extra="ignore")
    remedy: ClassVar[str] = "train the adapter again"

    r: Annotated[int, Field(ge=1, le=65536)] = 8  # PEFT's default
    revision: str | None = None
    base_model_name_or_path: str | None = None
