"""Answers that were computed before, kept on disk: an engine in front of an engine.

The store is one SQLite file in its default journal mode (a rollback journal): it needs nothing but file locks, so
that tasks on several machines can share a volume, while WAL keeps its index in the memory of one machine
(https://sqlite.org/wal.html). A batch is one transaction: a kill at any moment leaves whole rows.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from bt_core.engine.base import Completion, Engine, Request, answered
from bt_core.engine.cache_keys import request_key
from bt_core.engine.lazy_engine import LazyEngine
from bt_core.errors import warn
from bt_core.records import Usage

T = TypeVar("T")

#: Names the folder of both caches; unset or empty: nothing is cached.
CACHE_VARIABLE = "BT_RESPONSE_CACHE"
#: How long to wait for another process that writes, in seconds.
BUSY_SECONDS = 60.0

_FIND = "SELECT key, value FROM responses WHERE key IN (SELECT value FROM json_each(?))"


def cache_folder() -> Path | None:
    """Where answers and adapters are cached: `BT_RESPONSE_CACHE`; None: nowhere."""
    folder = os.environ.get(CACHE_VARIABLE)
    return Path(folder) if folder else None


class ResponseStore:
    """Completions by key in the file `responses.sqlite`, which several processes may use at once.

    It never ends a run. A damaged file is moved aside; one that cannot be used (locked for long, no rights, a full
    disk) is left alone from then on; either is said in one warning.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "responses.sqlite"
        self._works = {"read": True, "written": True}

    def read(self, keys: Iterable[str]) -> dict[str, Completion]:
        """The completions that are there, marked as cached."""
        asked = json.dumps(list(keys))
        return self._attempt("read", lambda file: {k: _parse(v) for k, v in file.execute(_FIND, [asked])}) or {}

    def write(self, completions: Mapping[str, Completion]) -> None:
        """Keep the completions; where a key is known already, its answer stays."""
        rows = [(key, _dump(completion)) for key, completion in completions.items()]

        def insert(file: sqlite3.Connection) -> None:
            with file:
                file.executemany("INSERT OR IGNORE INTO responses VALUES (?, ?)", rows)

        self._attempt("written", insert)

    def _attempt(self, verb: str, work: Callable[[sqlite3.Connection], T]) -> T | None:
        if not self._works[verb]:
            return None
        try:
            with closing(self._connect()) as file:
                return work(file)
        except (sqlite3.OperationalError, OSError) as error:
            # What cannot be read is of no use; what cannot be written may still be read.
            self._works = {"read": verb != "read", "written": False}
            warn(f"The cache {self.path} cannot be {verb} ({error}): going on without; check disk and rights.")
        except (sqlite3.DatabaseError, ValueError, LookupError, TypeError) as error:
            self._set_aside(error)
        return None

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Immediate: a transaction that only becomes a writer later is refused at once instead of waiting.
        file = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level="IMMEDIATE")
        try:
            file.execute("CREATE TABLE IF NOT EXISTS responses (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        except BaseException:
            file.close()
            raise
        return file

    def _set_aside(self, error: Exception) -> None:
        aside = self.path.with_name(self.path.name + ".damaged")
        try:
            self.path.replace(aside)
        except OSError:  # another process was first, or may not move it
            self._works = dict.fromkeys(self._works, False)
        warn(f"The cache {self.path} was damaged ({error}): going on with a new one; the old is {aside.name}.")


def _dump(completion: Completion) -> str:
    """JSON holds the shortest decimal that reads back as the same float."""
    value = asdict(completion)
    del value["cached"]
    return json.dumps(value)


def _parse(text: str) -> Completion:
    value: dict[str, Any] = json.loads(text)
    return Completion(**value | {"label_logprobs": tuple(value["label_logprobs"]), "cached": True})


class CachedEngine:
    """`bt_core.engine.base.Engine` that asks a store first, and the engine for what is not there.

    Args:
        load: gives the engine; called at the first miss, so that without one no model is loaded.
        store: where answers are kept.
        identity: of the base model (`cache_keys.answers_identity`), a part of every key.
    """

    def __init__(self, load: Callable[[], Engine], store: ResponseStore, identity: Mapping[str, Any]) -> None:
        self.usage = Usage()
        self._engine, self._store, self._identity = LazyEngine(load), store, identity

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests in order; those with one key reach the engine once.

        Raises:
            EngineError, ModelError: when the engine fails, or cannot be loaded.
        """
        keys = [request_key(self._identity, request) for request in requests]
        answers = self._store.read(dict.fromkeys(keys))
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in answers}
        if missing:
            computed = self._compute(missing)
            self._store.write(computed)
            answers |= computed
        completions = [answers[key] for key in keys]
        self.usage += answered(completions)
        return completions

    def close(self) -> None:
        """Close the engine behind the cache; it is loaded again when it is needed again."""
        self._engine.close()

    def forget(self) -> None:
        """Have the engine behind the cache forget; what is on disk stays."""
        self._engine.forget()

    def _compute(self, missing: Mapping[str, Request]) -> dict[str, Completion]:
        before = self._engine.usage
        completions = self._engine.generate(list(missing.values()))
        spent = self._engine.usage - before
        self.usage += Usage(computed_prompt_tokens=spent.computed_prompt_tokens, seconds=spent.seconds)
        return dict(zip(missing, completions, strict=True))
