"""Closed answers: probabilities over the token tree, priors, and the greedy walk."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_core.engine.tokens.token_tree import TokenTree, choose

END = 0
LABELS = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple), min_size=2, max_size=6, unique=True)


def test_only_branching_nodes_need_logits() -> None:
    tree = TokenTree.build([(7, 1, 2), (7, 1, 3), (9,)], END)
    assert tree.branches() == {(): (7, 9), (7, 1): (2, 3)}


def test_a_label_that_begins_another_is_told_apart_by_the_end() -> None:
    tree = TokenTree.build([(4,), (4, 5)], END)
    assert tree.branches() == {(4,): (END, 5)}


def test_equal_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="same tokens"):
        TokenTree.build([(1, 2), (1, 2)], END)


@given(LABELS, st.randoms(use_true_random=False))
def test_probabilities_sum_to_one(labels: list[tuple[int, ...]], rng) -> None:
    tree = TokenTree.build(labels, END)
    logits = {path: {token: rng.uniform(-5, 5) for token in tokens} for path, tokens in tree.branches().items()}
    logprobs = tree.label_logprobs(logits)
    assert math.fsum(map(math.exp, logprobs)) == pytest.approx(1.0)


def test_the_walk_can_differ_from_the_best_whole_label() -> None:
    # First token 1 leads to two labels of 0.3 each, token 2 to one of 0.4.
    tree = TokenTree.build([(1, 1), (1, 2), (2,)], END)
    logprobs = [math.log(p) for p in (0.3, 0.3, 0.4)]
    assert choose(logprobs, ()) == 2
    assert choose(logprobs, (), tree.walk) == 0


def test_a_prior_is_subtracted_from_log_probabilities() -> None:
    logprobs = [math.log(p) for p in (0.9, 0.1)]
    assert choose(logprobs, ()) == 0
    assert choose(logprobs, [math.log(0.95), math.log(0.05)]) == 1


def test_ties_go_to_the_first_label() -> None:
    assert choose([-1.0, -1.0, -1.0], ()) == 0
