"""The roles of rows: which may be learnt from and which stay sealed, over all retrainings that have read them.

The rules for a row, which is identified by a digest of its inputs, whatever its label:

1. A row that any run has put into its train or val split never becomes a test row again.
2. A row that any run has sealed is never learnt from, unless it was compared on and then retired by `retrain.retire`.
3. Any other row gets its role from its digest alone, so that runs that do not know of each other agree.
4. A sealed row is compared on once: it is spent as soon as a run has marked it, before the run scores it.

Where the task has a `group`, these rules hold for the group too, which has a digest of its own: its rows get their role
from the group's digest, new rows of a group that was learnt from are learnt from, new rows of a group that was sealed
are sealed, and a group that was compared on is spent with all rows that it will ever have.

A run records the roles that it gave before it learns from any row, the mark before it scores a row, and that it has
concluded before the champion changes. Records are only added, so runs at the same time need no lock for them.
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
    """What the ledger says of a run.

    Attributes:
        roles: the roles that it gave, by digest of a row or of a group.
        concluded: whether it came to a decision about its challenger.
        is_marked: whether it has begun to compare on its test rows.
        is_own: whether it is the run that reads the ledger, of which a task is done again.
    """

    roles: Mapping[str, str]
    concluded: bool = False
    is_marked: bool = False
    is_own: bool = False


class Ledger:
    """The records of all earlier runs, by row and by group.

    Attributes:
        own_test: the digests that this very run has begun to compare on, in an earlier attempt.
    """

    def __init__(self, records: Iterable[RunRecord] = ()) -> None:
        self._learnt: dict[str, str] = {}
        self._sealed: set[str] = set()
        self._spent: set[str] = set()
        self._seen: set[str] = set()
        self.own_test: set[str] = set()
        for record in records:
            self._take(record)

    def _take(self, record: RunRecord) -> None:
        for digest, role in record.roles.items():
            if role in (TRAIN, VAL):
                self._learn(digest, role)
            else:
                self._sealed.add(digest)
            if record.concluded and not record.is_own:
                self._seen.add(digest)
            if role == TEST and (record.is_marked or record.concluded):
                (self.own_test if record.is_own else self._spent).add(digest)

    def _learn(self, digest: str, role: str) -> None:
        # A row that was trained on is no fair validation row. A validation row may be trained on.
        self._learnt[digest] = TRAIN if TRAIN in (role, self._learnt.get(digest)) else VAL

    def join(self, digest: str, group: str) -> None:
        """Let what is known of a row count for its group, as where runs before the task had groups gave the roles."""
        if not group:
            return
        if digest in self._learnt:
            self._learn(group, self._learnt[digest])
        for known in (self._sealed, self._spent):
            if digest in known:
                known.add(group)

    def is_new(self, digest: str) -> bool:
        """Whether no concluded run has read the row."""
        return digest not in self._seen

    def is_fresh(self, digest: str, group: str = "") -> bool:
        """Whether a sealed row may be compared on: neither it nor its group is spent, or was learnt from."""
        return not any(known in self._spent or known in self._learnt for known in (digest, group))

    def role(self, digest: str, shares: Rows, retired: bool = False, group: str = "") -> str:
        """`train`, `val` or `test`.

        Args:
            digest: the row's digest.
            shares: sizes of the splits, in whose proportion rows that no run has read get their roles.
            retired: whether the row may be learnt from once it is spent.
            group: the digest of the row's group; empty where the task has no groups.
        """
        if digest in self._learnt:
            return TRAIN if TRAIN in (self._learnt[digest], self._learnt.get(group)) else VAL
        is_sealed = digest in self._sealed or (group in self._sealed and group not in self._learnt)
        is_retired = retired and (digest in self._spent or group in self._spent)
        if is_sealed and not is_retired:
            return TEST
        drawn = _drawn(group or digest, shares.train, shares.val, 0 if is_retired else shares.test)
        return self._learnt.get(group, drawn)


def row_digest(row: Row, inputs: Sequence[str]) -> str:
    """The digest of a row's inputs, which identifies the row in all runs."""
    return sha256_text(canonical_json({column: row[column] for column in inputs}))[:32]


def group_digest(name: str) -> str:
    """The digest of a group's name, which is no digest of a row."""
    return sha256_text(f"group {name}")[:32]


def _drawn(digest: str, train: int, val: int, test: int) -> str:
    """A split, chosen in proportion to the sizes; always the same one for the same digest."""
    point = int(digest[:13], 16) / 16**13 * (train + val + test)
    return TRAIN if point < train else VAL if point < train + val else TEST
