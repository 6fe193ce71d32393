"""Closed answers: probabilities over the token tree and of whole labels, priors, and the greedy walk."""

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


def test_a_token_that_has_no_alternative_costs_only_in_whole_scoring() -> None:
    # The model thinks more of token 1, but that it goes on with 3 and 4, as the only label there does, surprises it.
    tree = TokenTree.build([(1, 3, 4), (2,)], END)
    steps = {(): {1: 0.6, 2: 0.3}, (1,): {3: 0.1}, (1, 3): {4: 0.5}, (1, 3, 4): {END: 0.9}, (2,): {END: 0.9}}
    logprobs = {path: {token: math.log(p) for token, p in at.items()} for path, at in steps.items()}
    assert tree.nodes().keys() == steps.keys()
    branches = {path: logprobs[path] for path in tree.branches()}
    assert tree.label_logprobs(branches) == pytest.approx([math.log(2 / 3), math.log(1 / 3)])
    whole = (0.6 * 0.1 * 0.5 * 0.9, 0.3 * 0.9)
    assert tree.whole_logprobs(logprobs) == pytest.approx([math.log(p / sum(whole)) for p in whole])


@given(LABELS, st.randoms(use_true_random=False))
def test_whole_probabilities_sum_to_one(labels: list[tuple[int, ...]], rng) -> None:
    tree = TokenTree.build(labels, END)
    logprobs = {path: {token: rng.uniform(-40, 0) for token in tokens} for path, tokens in tree.nodes().items()}
    assert math.fsum(map(math.exp, tree.whole_logprobs(logprobs))) == pytest.approx(1.0)


@given(LABELS, st.randoms(use_true_random=False))
def test_both_ways_are_the_same_where_only_labels_are_possible(labels: list[tuple[int, ...]], rng) -> None:
    tree = TokenTree.build(labels, END)
    steps = {}
    for path, tokens in tree.nodes().items():
        weights = [rng.uniform(0.1, 1.0) for _ in tokens]
        steps[path] = {token: math.log(w / sum(weights)) for token, w in zip(tokens, weights, strict=True)}
    branches = {path: steps[path] for path in tree.branches()}
    assert tree.whole_logprobs(steps) == pytest.approx(tree.label_logprobs(branches))


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
