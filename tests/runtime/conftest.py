"""A tiny model for the tests of what component bodies share."""

from tests.core.conftest import embedded_model, tiny_folder, tiny_model

__all__ = ["embedded_model", "tiny_folder", "tiny_model"]
