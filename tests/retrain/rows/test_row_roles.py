"""The law of rows: whatever runs do, in whatever order, nothing sealed is learnt from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_core.config import Rows, resolve_config
from bt_core.records import Row
from bt_core.steps.retrain.fresh import AssignedRows, assign_roles
from bt_core.steps.retrain.row_roles import SEALED, TEST, TRAIN, VAL, Ledger, RunRecord, group_digest, row_digest
from tests.retrain import toy

NAMES = [f"thing {number}" for number in range(40)]
#: The data as they grow: file name, numbers of its rows.
FILES = st.lists(st.tuples(st.sampled_from("abcde"), st.sets(st.integers(0, 39), min_size=1)), min_size=1, max_size=3)


@dataclass(frozen=True)
class Run:
    """What a run finds and does: whether it gets to a decision, and whether it knows of the run just before it."""

    files: list[tuple[str, set[int]]]
    sizes: tuple[int, int, int]
    concludes: bool
    knows_last: bool


RUNS = st.lists(
    st.builds(Run, FILES, st.tuples(*[st.integers(1, 12)] * 3), st.booleans(), st.booleans()), min_size=1, max_size=6
)


def row(number: int) -> Row:
    return {"thing": NAMES[number], "colour": "red"}


def digests(rows: Sequence[Row]) -> set[str]:
    return {row_digest(one, ("thing",)) for one in rows}


def assigned(run: Run, ledger: Ledger, **settings: object) -> AssignedRows:
    sizes = dict(zip((TRAIN, VAL, TEST), run.sizes, strict=True))
    config = resolve_config({"task": "any", "rows": sizes, "retrain": {"min_new": 1, "min_test": 1, **settings}})
    return assign_roles(
        toy.task, [(name, [row(number) for number in sorted(rows)]) for name, rows in run.files], ledger, config
    )


@given(RUNS)
def test_no_run_learns_from_what_any_run_compared_on(runs: list[Run]) -> None:
    records: list[RunRecord] = []
    learnt: set[str] = set()
    sealed: set[str] = set()
    spent: set[str] = set()
    for index, run in enumerate(runs):
        at_once = index > 0 and not run.knows_last  # beside the one before, compiled from the same settings
        if at_once:
            run = Run(run.files, runs[index - 1].sizes, run.concludes, False)
        runs[index] = run
        found = assigned(run, Ledger(records[:-1] if at_once else records))
        now_learnt = digests(found.splits[TRAIN]) | digests(found.splits[VAL])
        now_sealed = digests(found.splits[TEST])
        assert not now_learnt & now_sealed
        assert not now_learnt & sealed, "a sealed row is learnt from"
        assert not now_sealed & learnt, "a row that was learnt from is a test row"
        if not at_once:
            assert not now_sealed & spent, "a row is compared on twice"
        learnt |= {digest for digest, role in found.roles.items() if role in (TRAIN, VAL)}
        sealed |= {digest for digest, role in found.roles.items() if role in (TEST, SEALED)}
        spent |= now_sealed if run.concludes else set()
        records.append(RunRecord(found.roles, run.concludes))


@given(RUNS)
def test_a_run_that_is_done_again_does_the_same(runs: list[Run]) -> None:
    """A retried task finds its own record, and a crashed run leaves its rows fresh."""
    records = [RunRecord(assigned(run, Ledger()).roles, run.concludes) for run in runs[:-1]]
    last = runs[-1]
    once = assigned(last, Ledger(records))
    assert assigned(last, Ledger([*records, RunRecord(once.roles)])) == once


@given(st.sets(st.integers(0, 39), min_size=20))
def test_every_row_has_one_role_and_the_shares_are_kept(numbers: set[int]) -> None:
    run = Run([("a", numbers)], (8, 6, 12), True, True)
    found = assigned(run, Ledger())
    assert found.roles.keys() == digests([row(number) for number in numbers])
    assert set(found.roles.values()) <= {TRAIN, VAL, TEST, SEALED}
    assert found.unseen == len(numbers)
    assert all(len(found.splits[name]) <= size for name, size in zip((TRAIN, VAL, TEST), run.sizes, strict=True))


def test_shares_are_those_of_the_sizes() -> None:
    counts = dict.fromkeys((TRAIN, VAL, TEST), 0)
    for number in range(3000):
        counts[Ledger().role(row_digest({"thing": str(number)}, ("thing",)), Rows(train=60, val=30, test=10))] += 1
    assert counts == pytest.approx({TRAIN: 1800, VAL: 900, TEST: 300}, rel=0.1)


def test_a_spent_row_is_learnt_from_only_when_it_is_retired() -> None:
    run = Run([("2026-01", set(range(40)))], (4, 4, 30), True, True)
    first = assigned(run, Ledger())
    ledger = Ledger([RunRecord(first.roles, concluded=True)])
    spent = digests(first.splits[TEST])
    assert spent
    kept, retired = assigned(run, ledger), assigned(run, ledger, retire="2026-01")
    assert not (digests(kept.splits[TRAIN]) | digests(kept.splits[VAL])) & spent
    assert {retired.roles[digest] for digest in spent} <= {TRAIN, VAL}
    assert assigned(run, ledger, retire="2025-12") == kept
    unspent = Ledger([RunRecord(first.roles, concluded=False)])
    assert {assigned(run, unspent, retire="2026-01").roles[digest] for digest in spent} == {TEST}
    # Once learnt from, they never come back.
    later = Ledger([RunRecord(first.roles, concluded=True), RunRecord(retired.roles)])
    assert not digests(assigned(run, later).splits[TEST]) & spent


def test_the_newest_rows_come_first_and_the_newest_label_counts() -> None:
    old = [{"thing": f"thing {number}", "colour": "red"} for number in range(60)]
    new = [{"thing": f"thing {number}", "colour": "green"} for number in range(30, 90)]
    config = toy.config("none", rows={"train": 10, "val": 10, "test": 10})
    found = assign_roles(toy.task, [("2026-01", old), ("2026-02", new)], Ledger(), config)
    assert found.unseen == 90
    assert {one["colour"] for split in found.splits.values() for one in split} == {"green"}


@pytest.mark.parametrize(
    ("count", "settings", "reason"),
    [
        (0, {}, "nothing changed, earlier runs have seen all 40 rows."),
        (5, {"min_new": 6}, "too little is new, 5 of 45 rows and `retrain.min_new` is 6."),
        (5, {"min_test": 99}, "fresh sealed rows to compare on and `retrain.min_test` is 99 (5 of 45 rows are new)."),
    ],
)
def test_a_run_with_too_little_to_do_says_why(count: int, settings: dict[str, int], reason: str) -> None:
    config = toy.config("none", retrain={"min_new": 1, "min_test": 1, **settings})
    rows = [{"thing": f"thing {number}", "colour": "red"} for number in range(40 + count)]
    before = assign_roles(toy.task, [("a", rows[:40])], Ledger(), config)
    found = assign_roles(toy.task, [("a", rows)], Ledger([RunRecord(before.roles, concluded=True)]), config)
    assert found.reason.endswith(reason)
    assert not assign_roles(toy.task, [("a", rows)], Ledger([RunRecord(before.roles)]), toy.config("none")).reason


GROUPED = replace(toy.task, group="document")


def grouped(numbers: Sequence[int], ledger: Ledger, sizes: tuple[int, int, int] = (12, 9, 18)) -> AssignedRows:
    """Rows of which ten each come from one document."""
    rows = [{"thing": f"thing {number}", "colour": "red", "document": number % 12} for number in numbers]
    settings = {"rows": dict(zip((TRAIN, VAL, TEST), sizes, strict=True)), "retrain": {"min_new": 1, "min_test": 1}}
    return assign_roles(GROUPED, [("a", rows)], ledger, toy.config("none", **settings))


def documents(rows: Sequence[Row]) -> set[int]:
    return {one["document"] for one in rows}


@given(
    st.lists(
        st.tuples(st.sets(st.integers(0, 119), min_size=1), st.tuples(*[st.integers(1, 30)] * 3), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
def test_a_group_is_never_learnt_from_in_one_run_and_compared_on_in_another(
    runs: list[tuple[set[int], tuple[int, int, int], bool]],
) -> None:
    records: list[RunRecord] = []
    learnt: set[int] = set()
    spent: set[int] = set()
    for numbers, sizes, concludes in runs:
        found = grouped(sorted(numbers), Ledger(records), sizes)
        own = [documents(found.splits[split]) for split in (TRAIN, VAL, TEST)]
        assert not own[0] & own[1]
        assert not (own[0] | own[1]) & own[2]
        assert not own[2] & learnt, "a row of a group that was learnt from is a test row"
        assert not (own[0] | own[1]) & spent, "a row of a group that was compared on is learnt from"
        assert not own[2] & spent, "a group is compared on twice"
        learnt |= own[0] | own[1]
        spent |= own[2] if concludes else set()
        records.append(RunRecord(found.roles | found.groups, concludes, is_marked=concludes))


def test_new_rows_of_a_group_get_the_role_of_the_group() -> None:
    first = grouped(range(60), Ledger())
    assert set(first.groups) == {group_digest(str(number)) for number in range(12)}
    ledger = Ledger([RunRecord(first.roles | first.groups, concluded=True)])
    later = grouped(range(60, 120), ledger, (1, 1, 99))  # by these sizes alone, nearly all would be sealed
    for digest, role in first.groups.items():
        wanted = {TEST: SEALED, SEALED: TEST}.get(role, role)
        assert later.groups[digest] == wanted, "the rows of a group that was compared on stay sealed, unused"


def test_a_group_is_known_by_its_rows_where_the_task_had_no_group_before() -> None:
    roles = {row_digest({"thing": f"thing {number}"}, ("thing",)): TRAIN for number in range(0, 120, 12)}
    found = grouped(range(120), Ledger([RunRecord(roles, concluded=True)]), (1, 1, 99))
    assert 0 not in documents(found.splits[TEST])
    assert found.groups[group_digest("0")] == TRAIN
    sealed = {row_digest({"thing": f"thing {number}"}, ("thing",)): TEST for number in (1, 13)}
    found = grouped(range(120), Ledger([RunRecord(sealed, concluded=True)]), (99, 1, 1))
    assert found.groups[group_digest("1")] == SEALED


def test_a_row_that_a_run_has_marked_is_taken_by_no_other_run() -> None:
    run = Run([("2026-01", set(range(40)))], (4, 4, 10), True, True)
    first = assigned(run, Ledger())
    marked = RunRecord(first.roles, is_marked=True)
    other = assigned(run, Ledger([marked]))
    assert other.splits[TEST]
    assert not digests(other.splits[TEST]) & digests(first.splits[TEST])
    own = assigned(run, Ledger([replace(marked, is_own=True)]))
    assert own == first
    assert assigned(run, Ledger([RunRecord(first.roles)])) == first, "a run that had scored no row leaves them all"


def test_a_challenger_in_shadow_needs_fresh_sealed_rows_and_nothing_new() -> None:
    config = toy.config("none", rows={"train": 5, "val": 5, "test": 5}, retrain={"min_new": 30, "min_test": 4})
    rows = [("a", [row(number) for number in range(40)])]
    first = assign_roles(toy.task, rows, Ledger(), config)
    ledger = Ledger([RunRecord(first.roles, concluded=True)])
    assert "nothing changed" in assign_roles(toy.task, rows, ledger, config).reason
    again = assign_roles(toy.task, rows, ledger, config, in_shadow=True)
    assert again.reason == ""
    assert not digests(again.splits[TEST]) & digests(first.splits[TEST])
