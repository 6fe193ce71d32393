"""One engine for several steps, one after the other, so that its model is loaded once."""

import gc
import sys
from collections.abc import Callable, Sequence

from bt_core.engine.base import Completion, Engine, Request, close, forget
from bt_core.records import Usage


class SharedEngine:
    """`bt_core.engine.base.Engine` that is loaded when it is first asked, and again after it was closed.

    Args:
        load: gives the engine.
    """

    def __init__(self, load: Callable[[], Engine]) -> None:
        self._load = load
        self._engine: Engine | None = None
        self._spent = Usage()

    @property
    def usage(self) -> Usage:
        """What was spent so far, before it was closed too."""
        return self._spent + self._engine.usage if self._engine else self._spent

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests in order.

        Raises:
            EngineError, ModelError: when the engine fails, or cannot be loaded.
        """
        if self._engine is None:
            self._engine = self._load()
        return self._engine.generate(requests)

    def forget(self) -> None:
        """Answer the next step as an engine that was just loaded."""
        if self._engine:
            forget(self._engine)

    def close(self) -> None:
        """Give the model's memory back until the next request."""
        if self._engine:
            self._spent += self._engine.usage
            close(self._engine)
            self._engine = None
        gc.collect()
        torch = sys.modules.get("torch")  # where nothing has imported it, nothing holds its memory
        if torch and torch.cuda.is_available():
            torch.cuda.empty_cache()
