"""The roles of rows: which may be learnt from and which stay sealed, over all retrainings that have read them.

The rules for a row, which is identified by a digest of its inputs, whatever its label:

1. A row that any run has put into its train or val split never becomes a test row again.
2. A row that any run has sealed is never learnt from, unless it was compared on and then retired by `retrain.retire`.
3. Any other row gets its role from its digest alone, so that runs that do not know of each other agree.
4. A sealed row is compared on once: when a run has concluded, its test rows are spent.

A run records the roles that it gave before it learns from any row, and records that it has concluded before the
champion changes. Records are only added, so runs at the same time need no lock for them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bt_core.config import Rows
from bt_core.records import Row, canonical_json, sha256_text

TRAIN, VAL, TEST = "train", "val", "test"
#: Role of a test row that its run did not compare on.
SEALED = "sealed"


@dataclass(frozen=True)
class RunRecord:
    """The roles that a run gave, by row digest. `concluded` says that it decided between champion and challenger."""

    roles: Mapping[str, str]
    concluded: bool = False


class Ledger:
    """The records of all earlier runs, by row."""

    def __init__(self, records: Iterable[RunRecord] = ()) -> None:
        self._learnt: dict[str, str] = {}
        self._sealed: set[str] = set()
        self._spent: set[str] = set()
        self._seen: set[str] = set()
        for record in records:
            self._take(record)

    def _take(self, record: RunRecord) -> None:
        for digest, role in record.roles.items():
            if role in (TRAIN, VAL):
                # A row that was trained on is no fair validation row. A validation row may be trained on.
                self._learnt[digest] = TRAIN if TRAIN in (role, self._learnt.get(digest)) else VAL
            else:
                self._sealed.add(digest)
            if record.concluded:
                self._seen.add(digest)
                if role == TEST:
                    self._spent.add(digest)

    def is_new(self, digest: str) -> bool:
        """Whether no concluded run has read the row."""
        return digest not in self._seen

    def is_spent(self, digest: str) -> bool:
        """Whether a run has compared programs on the row."""
        return digest in self._spent

    def role(self, digest: str, shares: Rows, retired: bool = False) -> str:
        """`train`, `val` or `test`.

        Args:
            digest: the row's digest.
            shares: sizes of the splits, in whose proportion rows that no run has read get their roles.
            retired: whether the row may be learnt from once it is spent.
        """
        if digest in self._learnt:
            return self._learnt[digest]
        if digest not in self._sealed:
            return _drawn(digest, shares.train, shares.val, shares.test)
        return _drawn(digest, shares.train, shares.val, 0) if retired and self.is_spent(digest) else TEST


def row_digest(row: Row, inputs: Sequence[str]) -> str:
    """The digest of a row's inputs, which identifies the row in all runs."""
    return sha256_text(canonical_json({column: row[column] for column in inputs}))[:32]


def _drawn(digest: str, train: int, val: int, test: int) -> str:
    """A split, chosen in proportion to the sizes; always the same one for the same digest."""
    point = int(digest[:13], 16) / 16**13 * (train + val + test)
    return TRAIN if point < train else VAL if point < train + val else TEST
