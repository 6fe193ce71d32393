"""Grouping by shared prefix, batches within a budget, and batches without much padding."""

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from bt_core.engine.local.grouping import (
    DEEPEST,
    MIN_PREFIX,
    Group,
    batches,
    common_prefix,
    evenly,
    parts,
    prefix_groups,
)

SEQUENCES = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.integers(0, 3), min_size=1, max_size=12)).map(
        lambda pair: tuple([pair[0]] * 2 * MIN_PREFIX + pair[1])
    ),
    min_size=1,
    max_size=20,
)


@given(st.lists(st.integers(0, 2)).map(tuple), st.lists(st.integers(0, 2)).map(tuple))
def test_common_prefix_is_the_longest(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    length = common_prefix(left, right)
    assert left[:length] == right[:length]
    assert length == min(len(left), len(right)) or left[length] != right[length]


@given(SEQUENCES)
def test_groups_hold_every_sequence_once_and_share_what_they_say(sequences: list[tuple[int, ...]]) -> None:
    groups = prefix_groups(sequences)
    assert sorted(index for group in groups for index in group.members) == list(range(len(sequences)))
    for group in groups:
        heads = {sequences[index][: group.prefix] for index in group.members}
        assert len(heads) == 1
        assert all(len(sequences[index]) > group.prefix for index in group.members)


@given(SEQUENCES, st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_the_order_of_arrival(sequences: list[tuple[int, ...]], rng) -> None:
    shuffled = sequences[:]
    rng.shuffle(shuffled)

    def contents(rows: list[tuple[int, ...]]) -> list[tuple[int, list[tuple[int, ...]]]]:
        return [(group.prefix, [rows[index] for index in group.members]) for group in prefix_groups(rows)]

    assert contents(sequences) == contents(shuffled)


def test_prefixes_that_differ_by_one_token_are_kept_apart() -> None:
    first, second = (1,) * 40, (1,) * 10 + (2,) * 30
    groups = prefix_groups([(*first, 5), (*first, 6), (*second, 5), (*second, 6)], overhead=16)
    assert [(group.prefix, group.members) for group in groups] == [(40, (0, 1)), (40, (2, 3))]


def test_a_short_prompt_beside_long_ones_leaves_them_their_prefix() -> None:
    system, demos = (1,) * 30, (2,) * 60
    long = [(*system, *demos, 5, n) for n in range(3)]
    short = [(*system, 1, n) for n in range(2)] + [(*system, 3, n) for n in range(2)]
    prefixes = {index: group.prefix for group in prefix_groups([*long, *short]) for index in group.members}
    assert [prefixes[index] for index in range(3)] == [91] * 3
    assert all(prefixes[index] >= 30 for index in range(3, 7))


def test_branches_continue_the_prefix_that_they_share() -> None:
    system = (1,) * 30
    one, two = ((*system, *(demos,) * 60) for demos in (2, 3))
    rows = [(*prefix, 5, n) for prefix in (one, two) for n in range(4)] + [(*system, 9, n) for n in range(4)]
    prefixes = [(group.prefix, group.members) for group in prefix_groups(rows)]
    assert sorted(prefixes) == [(30, (8, 9, 10, 11)), (91, (0, 1, 2, 3)), (91, (4, 5, 6, 7))]


def test_a_prefix_that_is_kept_serves_a_single_row() -> None:
    rows = [(*(1,) * 40, 5), (2, 3)]
    assert Group(0, (0,)) in prefix_groups(rows)
    assert Group(40, (0,)) in prefix_groups(rows, kept=lambda tokens: common_prefix(tokens, (1,) * 60))


def test_a_prefix_too_short_for_a_pass_is_not_shared() -> None:
    rows = [(*(1,) * 20, n) for n in range(3)]
    assert prefix_groups(rows, overhead=100) == [Group(0, (0, 1, 2))]
    assert prefix_groups(rows, overhead=10) == [Group(20, (0, 1, 2))]


def test_rows_of_which_each_begins_the_next_nest_only_so_deep() -> None:
    rows = [(1,) * length for length in range(1, 2_000)]
    groups = prefix_groups(rows, overhead=0)
    assert sorted(index for group in groups for index in group.members) == list(range(len(rows)))
    assert len(groups) <= DEEPEST + 1


@given(SEQUENCES, st.integers(0, 60))
def test_groups_cost_no_more_than_one_or_none(sequences: list[tuple[int, ...]], overhead: int) -> None:
    """Where each prefix is computed from its start, sharing nothing and sharing what all have are not cheaper."""

    def cost(groups: list[Group]) -> int:
        rows = sum(len(sequences[index]) - group.prefix for group in groups for index in group.members)
        return rows + sum(group.prefix + overhead for group in groups if group.prefix)

    everyone = tuple(range(len(sequences)))
    shared = min(min(map(len, sequences)) - 1, *(common_prefix(sequences[0], other) for other in sequences))
    cheapest = cost(prefix_groups(sequences, overhead, nested=False))
    assert cheapest <= cost([Group(0, everyone)])
    assert cheapest <= cost([Group(shared, everyone)])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=9), st.integers(0, 60))
def test_parts_are_the_cheapest_cuts_of_the_sorted_lengths(lengths: list[int], overhead: int) -> None:
    def cost(cut: list[list[int]]) -> int:
        return sum(len(part) * max(lengths[position] for position in part) + overhead for part in cut)

    split = parts(lengths, overhead)
    order = [position for part in split for position in part]
    assert [lengths[position] for position in order] == sorted(lengths)
    assert sorted(order) == list(range(len(lengths)))
    ends = range(1, len(order))
    cuts = (chosen for count in range(len(order)) for chosen in combinations(ends, count))
    bounds = ([0, *chosen, len(order)] for chosen in cuts)
    assert cost(split) == min(cost([order[a:b] for a, b in pairwise(one)]) for one in bounds)


@given(st.lists(st.integers(1, 50), min_size=1), st.integers(50, 200))
def test_batches_stay_within_the_budget(lengths: list[int], budget: int) -> None:
    cut = list(batches(lengths, budget))
    assert sorted(position for batch in cut for position in batch) == list(range(len(lengths)))
    assert all(len(batch) * max(lengths[position] for position in batch) <= budget for batch in cut)


def test_a_row_longer_than_the_budget_goes_alone() -> None:
    assert list(batches([10, 500], 100)) == [[0], [1]]


@given(st.lists(st.integers(1, 90), min_size=1, max_size=60), st.integers(1, 400))
def test_parts_are_cut_into_few_pieces_of_like_size(lengths: list[int], most: int) -> None:
    part = sorted(range(len(lengths)), key=lambda position: lengths[position])

    pieces = evenly(part, lengths, most)

    assert [position for piece in pieces for position in piece] == part
    widest = max(lengths)
    assert all(len(piece) == 1 or len(piece) * widest <= most for piece in pieces)
    assert len(pieces) == -(-len(part) // max(1, most // widest))
    assert max(map(len, pieces)) - min(map(len, pieces)) < len(pieces)
