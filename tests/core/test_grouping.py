"""Grouping by shared prefix, and batches within a budget."""

from hypothesis import given
from hypothesis import strategies as st

from bt_core.engine.grouping import MIN_PREFIX, batches, common_prefix, prefix_groups

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

    def contents(given: list[tuple[int, ...]]) -> list[tuple[int, list[tuple[int, ...]]]]:
        return [(group.prefix, [given[index] for index in group.members]) for group in prefix_groups(given)]

    assert contents(sequences) == contents(shuffled)


def test_prefixes_that_differ_by_one_token_are_kept_apart() -> None:
    first, second = (1,) * 40, (1,) * 10 + (2,) * 30
    groups = prefix_groups([(*first, 5), (*first, 6), (*second, 5), (*second, 6)])
    assert [(group.prefix, group.members) for group in groups] == [(40, (0, 1)), (40, (2, 3))]


def test_a_short_prompt_beside_long_ones_does_not_cost_them_their_prefix() -> None:
    system, demos = (1,) * 30, (2,) * 60
    long = [(*system, *demos, 5, n) for n in range(3)]
    short = [(*system, 1, n) for n in range(2)] + [(*system, 3, n) for n in range(2)]
    prefixes = {index: group.prefix for group in prefix_groups([*long, *short]) for index in group.members}
    assert [prefixes[index] for index in range(3)] == [91] * 3
    assert all(prefixes[index] >= 30 for index in range(3, 7))


@given(st.lists(st.integers(1, 50), min_size=1), st.integers(50, 200))
def test_batches_stay_within_the_budget(lengths: list[int], budget: int) -> None:
    cut = list(batches(lengths, budget))
    assert sorted(position for batch in cut for position in batch) == list(range(len(lengths)))
    assert all(len(batch) * max(lengths[position] for position in batch) <= budget for batch in cut)


def test_a_row_longer_than_the_budget_goes_alone() -> None:
    assert list(batches([10, 500], 100)) == [[0], [1]]
