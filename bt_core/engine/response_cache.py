"""The response cache: an engine in front of another engine that keeps its answers on disk.

The store is one SQLite file in the default journal mode (a rollback journal). That mode needs nothing but file locks,
so tasks on several machines can share a volume; WAL would keep its index in the memory of one machine
(https://sqlite.org/wal.html). A batch is one transaction, so a kill at any moment leaves whole rows. SQLite itself does
not notice every turned bit, so each row has a digest.
"""

import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from bt_core.engine.base import Completion, Ended, Engine, PartlyAnswered, Request, usage_of
from bt_core.engine.cache_keys import request_key
from bt_core.engine.lazy_engine import LazyEngine
from bt_core.errors import warn
from bt_core.records import Usage

T = TypeVar("T")

#: The environment variable that names the folder of both caches; unset or empty: nothing is cached.
CACHE_VARIABLE = "BT_RESPONSE_CACHE"
#: Seconds to wait for another process that is writing.
BUSY_SECONDS = 60.0

_CREATE = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value TEXT NOT NULL, digest TEXT NOT NULL)"
_FIND = "SELECT rowid, key, value, digest FROM answers WHERE key IN (SELECT value FROM json_each(?))"


def cache_folder() -> Path | None:
    """The folder in which answers and adapters are cached (`BT_RESPONSE_CACHE`); None: nothing is cached."""
    folder = os.environ.get(CACHE_VARIABLE)
    return Path(folder) if folder else None


class ResponseStore:
    """Completions by key in the file `responses.sqlite`, which several processes may use at once.

    A failing store never ends a run. A row that is not what was written is deleted, and a damaged file is moved aside;
    a file that cannot be used (it is locked for long, there are no rights, the disk is full) is not touched any more.
    In each case a warning says so.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "responses.sqlite"
        self._usable = {"read": True, "written": True}

    def read(self, keys: Iterable[str]) -> dict[str, Completion]:
        """The completions that the store has, marked as cached."""
        listed = json.dumps(list(keys))
        rows = self._attempt("read", lambda file: file.execute(_FIND, [listed]).fetchall()) or []
        found, damaged = {}, []
        for number, key, value, digest in rows:
            completion = _parse(value) if digest == _digest(key, value) else None
            if completion is None:
                damaged.append((number,))
            else:
                found[key] = completion
        if damaged:
            self._drop(damaged)
        return found

    def write(self, completions: Mapping[str, Completion]) -> None:
        """Keep the completions; where a key is there already, its answer stays."""
        values = {key: _dump(completion) for key, completion in completions.items()}
        rows = [(key, value, _digest(key, value)) for key, value in values.items()]
        self._change("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", rows)

    def _drop(self, numbers: Sequence[tuple[int]]) -> None:
        warn(f"{len(numbers)} of the answers in the cache {self.path} were damaged: they are computed again.")
        self._change("DELETE FROM answers WHERE rowid = ?", numbers)

    def _change(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        def change(file: sqlite3.Connection) -> None:
            with file:
                file.executemany(statement, rows)

        self._attempt("written", change)

    def _attempt(self, verb: str, work: Callable[[sqlite3.Connection], T]) -> T | None:
        for _ in range(2):  # the second time with a new file, where the first was damaged
            if not self._usable[verb]:
                return None
            opened = self._inode()
            try:
                with closing(self._connect()) as file:
                    return work(file)
            except (sqlite3.OperationalError, OSError) as error:
                # A file that cannot be read is of no use at all; one that cannot be written may still be read.
                self._usable = {"read": verb != "read", "written": False}
                warn(f"The cache {self.path} cannot be {verb} ({error}): going on without; check disk and rights.")
            except sqlite3.DatabaseError as error:
                self._set_aside(error, opened)
        return None

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            self.path.touch()  # SQLite itself would not let the group write, whatever the umask allows
        # Immediate, because a transaction that becomes a writer only later is refused at once instead of waiting.
        file = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level="IMMEDIATE")
        try:
            file.execute(_CREATE)
        except BaseException:
            file.close()
            raise
        return file

    def _inode(self) -> int | None:
        """Which file lies at the path; None: none that can be seen."""
        try:
            return self.path.stat().st_ino
        except OSError:
            return None

    def _set_aside(self, error: Exception, opened: int | None) -> None:
        """Move the damaged file away, unless another process has done so and the one at the path is new."""
        aside = self.path.with_name(self.path.name + ".damaged")
        try:
            with self.path.with_name(self.path.name + ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if self._inode() != opened:
                    return
                # The journal first, since SQLite would play it back into a new file of the old name.
                for suffix in ("-journal", ""):
                    with suppress(FileNotFoundError):
                        Path(f"{self.path}{suffix}").replace(f"{aside}{suffix}")
        except OSError:  # this process has no right to move it
            self._usable = dict.fromkeys(self._usable, False)
        warn(f"The cache {self.path} was damaged ({error}): going on with a new one; the old one is {aside.name}.")


class _Row(BaseModel):
    """A stored value."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    text: str
    prompt_tokens: NonNegativeInt
    completion_tokens: NonNegativeInt
    label_logprobs: tuple[float, ...]
    error: str | None
    ended: Ended


def _dump(completion: Completion) -> str:
    """As JSON, which holds the shortest decimal that reads back as the same float."""
    value = asdict(completion)
    del value["cached"]
    return json.dumps(value)


def _parse(text: str) -> Completion | None:
    """The completion of a stored value; None where another release has written another form."""
    try:
        return Completion(**vars(_Row.model_validate_json(text)), cached=True)
    except ValidationError:
        return None


def _digest(key: str, value: str) -> str:
    return hashlib.sha256(f"{key}\n{value}".encode()).hexdigest()[:16]


class CachedEngine:
    """`bt_core.engine.base.Engine` that asks a store first, and the engine behind it for answers that are not there.

    Args:
        load: returns the engine behind the cache; called at the first miss, so that without one no model is loaded.
        store: where answers are kept.
        identity: names model and engine in every key (`cache_keys.answers_identity`).
    """

    def __init__(self, load: Callable[[], Engine], store: ResponseStore, identity: Mapping[str, Any]) -> None:
        self.usage = Usage()
        self._engine, self._store, self._identity = LazyEngine(load), store, identity

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests in order; requests with the same key reach the engine once.

        Raises:
            EngineError: when the engine fails; the answers that it gave before are kept.
            ModelError: when it cannot be loaded.
        """
        keys = [request_key(self._identity, request) for request in requests]
        answers = self._store.read(dict.fromkeys(keys))
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in answers}
        if missing:
            answers |= self._compute(missing)
        completions = [answers[key] for key in keys]
        self.usage += usage_of(completions)
        return completions

    def close(self) -> None:
        """Close the engine behind the cache; it is loaded again when it is needed again."""
        self._engine.close()

    def forget(self) -> None:
        """Have the engine behind the cache forget; what is on disk stays."""
        self._engine.forget()

    def _compute(self, missing: Mapping[str, Request]) -> dict[str, Completion]:
        before = self._engine.usage
        try:
            completions = self._engine.generate(list(missing.values()))
        except PartlyAnswered as error:
            self._keep(missing, error.answers)
            raise
        self._keep(missing, completions)
        spent = self._engine.usage - before
        self.usage += Usage(computed_prompt_tokens=spent.computed_prompt_tokens, seconds=spent.seconds)
        return dict(zip(missing, completions, strict=True))

    def _keep(self, keys: Iterable[str], completions: Sequence[Completion | None]) -> None:
        pairs = zip(keys, completions, strict=True)
        self._store.write({key: one for key, one in pairs if one is not None and one.is_lasting})
