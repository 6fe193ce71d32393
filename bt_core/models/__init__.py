"""Base models: from an id to a local folder of safetensors, and a revision that names its exact content."""

from bt_core.models.embedded import EMBEDDED_MODEL
from bt_core.models.resolve import BaseModel, copy_model, resolve_model

__all__ = ["EMBEDDED_MODEL", "BaseModel", "copy_model", "resolve_model"]
