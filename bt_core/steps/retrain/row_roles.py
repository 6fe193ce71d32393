"""Which rows may be learnt from and which stay sealed, over all retrainings that ever read them.

The law, row by row (a row is known by a digest of its inputs, whatever its label):

1. A row that any run gave to its train or val split is never a test row again.
2. A row that any run sealed is never learnt from, unless it was compared on and then retired by `retrain.retire`.
3. Any other row gets its role from its digest alone, so that runs which do not know of each other agree.
4. A sealed row is compared on once: when a run has concluded, its test rows are spent.

Every run writes down the roles that it gave before anything is learnt, and that it concluded before a champion
changes. Records are only ever added, so runs at the same time need no lock for them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bt_core.config import Rows
from bt_core.records import Row, canonical_json, sha256_text

TRAIN, VAL, TEST = "train", "val", "test"
#: A row of the test share that its run did not compare on.
SEALED = "sealed"


@dataclass(frozen=True)
class RunRecord:
    """The roles that one run gave, by row digest. `concluded`: it has decided between champion and challenger."""

    roles: Mapping[str, str]
    concluded: bool = False


class Ledger:
    """What all earlier runs did with the rows."""

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
                # What was trained on is no fair validation row; the other way round nothing is lost.
                self._learnt[digest] = TRAIN if TRAIN in (role, self._learnt.get(digest)) else VAL
            else:
                self._sealed.add(digest)
            if record.concluded:
                self._seen.add(digest)
                if role == TEST:
                    self._spent.add(digest)

    def is_new(self, digest: str) -> bool:
        """Whether no run that concluded has read the row."""
        return digest not in self._seen

    def is_spent(self, digest: str) -> bool:
        """Whether a run has compared programs on the row."""
        return digest in self._spent

    def role(self, digest: str, shares: Rows, retired: bool = False) -> str:
        """`train`, `val` or `test`.

        Args:
            digest: the row's.
            shares: how the rows that no run has read yet are dealt out, in proportion.
            retired: whether the row may be learnt from once it is spent.
        """
        if digest in self._learnt:
            return self._learnt[digest]
        if digest not in self._sealed:
            return _dealt(digest, shares.train, shares.val, shares.test)
        return _dealt(digest, shares.train, shares.val, 0) if retired and self.is_spent(digest) else TEST


def row_digest(row: Row, inputs: Sequence[str]) -> str:
    """A row's name for all time, from its inputs."""
    return sha256_text(canonical_json({column: row[column] for column in inputs}))[:32]


def _dealt(digest: str, train: int, val: int, test: int) -> str:
    """A split with a probability in proportion to its size; the same one for a digest whenever it is asked."""
    point = int(digest[:13], 16) / 16**13 * (train + val + test)
    return TRAIN if point < train else VAL if point < train + val else TEST
