"""Strategies: reading, writing, and the prefix tree."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_core.config import step_kinds
from bt_core.errors import ConfigError
from bt_core.strategy import Node, format_strategy, parse_strategy, prefix_tree, strategy_slug

STRATEGIES = st.lists(st.sampled_from(sorted(step_kinds())), min_size=1, max_size=6).map(tuple)
BLANKS = st.text(alphabet=" \t", max_size=3)


@given(STRATEGIES)
def test_reading_inverts_writing(strategy: tuple[str, ...]) -> None:
    assert parse_strategy(format_strategy(strategy)) == strategy


@given(STRATEGIES, st.data())
def test_blanks_do_not_matter(strategy: tuple[str, ...], data: st.DataObject) -> None:
    text = "->".join(data.draw(BLANKS) + step + data.draw(BLANKS) for step in strategy)
    assert parse_strategy(text) == strategy


def test_spellings() -> None:
    assert format_strategy(parse_strategy("p->w  ->p")) == "p -> w -> p"
    assert strategy_slug(("p", "w", "p")) == "p-w-p"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "The strategy is empty"),
        ("   ", "The strategy is empty"),
        ("p -> q", "Step 2 of strategy `p -> q` is `q`, which is no step kind"),
        ("p ->", "Step 2 of strategy `p ->` is empty"),
        ("p -> -> w", "Step 2 of strategy `p -> -> w` is empty"),
        ("P", "Step 1 of strategy `P` is `P`"),
        ("p w", "is `p w`, which is no step kind"),
    ],
)
def test_a_wrong_strategy_is_named_with_its_remedy(text: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_strategy(text)
    assert part in str(caught.value)
    assert all(f"`{kind}`" in str(caught.value) for kind in step_kinds())
    assert caught.value.exit_status == 2


@given(st.lists(STRATEGIES, max_size=8))
def test_the_prefix_tree_holds_each_prefix_once_and_parents_first(arms: list[tuple[str, ...]]) -> None:
    tree = prefix_tree(arms)
    prefixes = [node.prefix for node in tree]
    assert len(prefixes) == len(set(prefixes))
    assert set(prefixes) == {arm[:length] for arm in arms for length in range(1, len(arm) + 1)}
    assert {node.prefix for node in tree if node.is_wanted} == set(arms)
    seen: set[tuple[str, ...]] = {()}
    for node in tree:
        assert node.parent in seen
        assert node.kind == node.prefix[-1]
        seen.add(node.prefix)


@given(st.lists(STRATEGIES, max_size=8))
def test_the_prefix_tree_is_a_function_of_the_set_up_to_order(arms: list[tuple[str, ...]]) -> None:
    assert prefix_tree(arms) == prefix_tree(arms + arms)
    assert set(prefix_tree(arms)) == set(prefix_tree(arms[::-1]))


def test_the_papers_arms_share_their_prefixes() -> None:
    arms = [
        parse_strategy(text)
        for text in ("p", "w", "p -> p", "p -> w", "w -> p", "w -> w", "p -> w -> p", "w -> p -> w")
    ]
    assert len(prefix_tree(arms)) == 8
    assert sum(len(arm) for arm in arms) == 16


def test_one_strategy_is_a_chain() -> None:
    tree = prefix_tree([("p", "w", "p")])
    assert tree == [Node(("p",), False), Node(("p", "w"), False), Node(("p", "w", "p"), True)]
    assert all(child.parent == parent.prefix for parent, child in pairwise(tree))
