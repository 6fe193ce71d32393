"""Scales, labels, the Pareto front, the tree and the loss curves, before they are drawn."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_report.labels import Box, place
from bt_report.losses import losses
from bt_report.pareto import Offer, not_dominated
from bt_report.scale import scale
from bt_report.text import compact, duration, fenced, markdown, markdown_sentence, shown, signed
from bt_report.tree import branches, tree
from tests.report.sweeps import NINE, as_sweep, ordinary

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(NUMBERS, max_size=8))
def test_scales_hold_their_values_between_round_ticks(values: list[float]) -> None:
    axis = scale(values, 10.0, 110.0)
    assert all(9.9 <= axis(value) <= 110.1 for value in values)
    assert 2 <= len(axis.ticks) <= 9
    assert f"{axis.step:.0e}"[0] in "125"
    assert len({text for _, text in axis.ticks}) == len(axis.ticks) or axis.step >= 1000


def test_ticks_are_what_a_person_would_write() -> None:
    assert [text for _, text in scale([0.278, 0.841], 0, 100).ticks] == ["0.2", "0.4", "0.6", "0.8", "1.0"]
    assert [text for _, text in scale([-0.03, 0.04], 0, 100).ticks] == ["−0.04", "−0.02", "0.00", "0.02", "0.04"]
    assert [text for _, text in scale([0, 166_119], 0, 100, ticks=4).ticks] == ["0", "50k", "100k", "150k", "200k"]


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 200)), min_size=1, max_size=25))
def test_labels_never_overlap(points: list[tuple[int, int]]) -> None:
    frame = Box(-20, -20, 360, 220)
    labels = [label for label in place(points, [f"arm {index}" for index in range(len(points))], frame) if label]
    assert labels
    assert all(frame.holds(label.box) for label in labels)
    assert not [pair for pair in combinations(labels, 2) if pair[0].box.overlaps(pair[1].box)]


def test_not_dominated_means_no_other_is_better_in_one_and_as_good_in_the_other() -> None:
    offers = [
        Offer(name, "prompts", price, score, "")
        for name, price, score in (
            ("cheap", 1, 0.3),
            ("dear", 9, 0.9),
            ("as cheap and worse", 1, 0.2),
            ("as good and dearer", 12, 0.9),
            ("middle", 5, 0.5),
            ("its equal", 5, 0.5),
        )
    ]
    assert not_dominated(offers) == [True, True, False, False, True, True]


def test_tree_has_each_shared_step_once_with_its_mean() -> None:
    nodes = as_sweep(ordinary({"p -> w -> p": 0.7, "p -> w": 0.6, "p": 0.5})).nodes
    found = branches(nodes, ["p -> w -> p", "p -> w"])
    assert [branch.name for branch in found] == ["vanilla", "p", "p -> w", "p -> w -> p"]
    assert [branch.is_arm for branch in found] == [True, False, True, True]
    after = [node.validation for node in nodes if node.strategy == "p -> w"]
    assert found[2].validation == pytest.approx(sum(after) / 3)
    twigs = tree(found).twigs
    assert [(twig.from_x, twig.from_y) for twig in twigs[1:]] == [(twig.x, twig.y) for twig in twigs[:-1]]


def test_a_step_whose_parent_is_missing_is_joined_to_the_nearest_one() -> None:
    nodes = [node for node in as_sweep(ordinary({"p -> w -> p": 0.7, "p": 0.5})).nodes if node.strategy != "p -> w"]
    root, first, last = tree(branches(nodes, [])).twigs
    assert (last.from_x, last.from_y) == (first.x, first.y)
    assert first.from_x == root.x


def test_long_loss_curves_are_thinned_and_epochs_stand_at_their_last_step() -> None:
    node = as_sweep(ordinary(NINE)).nodes[0].model_copy(update={"strategy": "w", "val_loss": ((1, 1.0), (2, 0.5))})
    loss = tuple((step, 2.0 - step / 1000) for step in range(1, 1001))
    (panel,) = losses([node.model_copy(update={"loss": loss})])
    (curve,) = panel.curves
    assert curve.training.count("L") < 120
    assert curve.held_out == ((panel.x(500), panel.y(1.0)), (panel.x(1000), panel.y(0.5)))
    assert losses([node.model_copy(update={"loss": (), "val_loss": ()})]) == []


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("# no heading", "\\# no heading"),
        ("1. no list", "1\\. no list"),
        ("- no list", "\\- no list"),
        ("---", "\\---"),
        ("-0.5", "-0.5"),
        ("12.5 and +0.1", "12.5 and +0.1"),
        ("a | b\nc", "a \\| b c"),
        ("<b>*x*</b> &lt;", "\\<b>\\*x\\*\\</b> &amp;lt;"),
    ],
)
def test_markdown_is_escaped_where_it_would_mean_something(text: str, escaped: str) -> None:
    assert markdown(text) == escaped


def test_texts_and_numbers_are_written_for_readers() -> None:
    assert [duration(seconds) for seconds in (0, 4.23, 59.6, 244, 7_500)] == [
        "0.0 s",
        "4.2 s",
        "1 min 0 s",
        "4 min 4 s",
        "2 h 5 min",
    ]
    assert (signed(-0.0121), signed(-0.0001), signed(0.4)) == ("−0.012", "+0.000", "+0.400")
    assert compact("p -> w->p") == "p→w→p"
    assert len(compact(" -> ".join("pw" * 20))) <= 22
    assert shown({"a": "ü"}) == '{"a": "ü"}'
    assert shown("x" * 2000).endswith("… (500 more characters)")
    assert fenced("a\n````\nb").startswith("`````text\n")
    assert markdown_sentence("`p -> w` beats *all*") == "`p -> w` beats \\*all\\*"
    assert markdown_sentence("one ` alone") == "one \\` alone"
