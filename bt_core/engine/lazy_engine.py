"""An engine whose model is loaded when it is first asked, and may be given back in between."""

import gc
import sys
from collections.abc import Callable, Sequence

from bt_core.engine.base import Completion, Engine, Request
from bt_core.records import Usage


class LazyEngine:
    """`bt_core.engine.base.Engine` that is loaded when it is first asked, and again when it is asked after `close`.

    Args:
        load: returns the engine; its usage counts from then on.
    """

    def __init__(self, load: Callable[[], Engine]) -> None:
        self._load = load
        self._engine: Engine | None = None
        self._usage_at_load = Usage()
        self._usage_before = Usage()

    @property
    def usage(self) -> Usage:
        """What was spent through this object so far, also by engines that are closed by now."""
        if self._engine is None:
            return self._usage_before
        return self._usage_before + (self._engine.usage - self._usage_at_load)

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests in order.

        Raises:
            EngineError: when the engine fails.
            ModelError: when it cannot be loaded.
        """
        if self._engine is None:
            self._engine = self._load()
            self._usage_at_load = self._engine.usage
        return self._engine.generate(requests)

    def forget(self) -> None:
        """Have the engine forget, if it is loaded."""
        if self._engine is not None:
            self._engine.forget()

    def close(self) -> None:
        """Close the engine, if it is loaded, and give its memory back."""
        if self._engine is None:
            return
        self._usage_before = self.usage
        self._engine.close()
        self._engine = None
        gc.collect()
        torch = sys.modules.get("torch")  # where nothing has imported it, nothing holds its memory
        if torch and torch.cuda.is_available():
            torch.cuda.empty_cache()
