"""The table, verdict and winner of a sweep, from made-up reports."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bt_core.config import Config
from bt_core.errors import ConfigError, DataError
from bt_core.formats.rows import ScoredRow, read_results, write_results
from bt_core.formats.traces import read_traces
from bt_core.records import StageReport, Trace, Usage, write_traces
from bt_core.statistics import VANILLA
from bt_core.statistics.judging.looks import Look
from bt_core.steps.sweep.compare_arms import compare_arms
from bt_core.steps.sweep.folders import PROGRAM_URI, ComparedFolder, ScoredFolder
from bt_core.steps.sweep.tree import SweepStage
from bt_core.strategy import Strategy, parse_strategy, prefix_tree

SEEDS = (3, 8, 9)
CONFIG = Config(task="tests.core.toy:task", seed=3, data_seed=3)
ARMS = ("p", "w", "p -> w")
ROWS = 40
VALIDATION = 0.5


def made_up(
    right: Mapping[str, int],
    validation: Mapping[str, float | Sequence[float]],
    outcomes: Mapping[str, str] | None = None,
) -> list[StageReport]:
    """The reports of a sweep whose arms score 1 on that many rows, under every seed."""
    strategies = [parse_strategy(arm) for arm in right if arm != "vanilla"]
    reports = [_prepared(seed) for seed in SEEDS] + [_scored(SEEDS[0], (), right["vanilla"], {})]
    for index, seed in enumerate(SEEDS):
        known = {arm: at if isinstance(at, float) else at[index] for arm, at in validation.items()}
        reports += _tree(seed, strategies, right, known, outcomes or {})
    return reports


def _tree(
    seed: int,
    strategies: Sequence[Strategy],
    right: Mapping[str, int],
    validation: Mapping[str, float],
    outcomes: Mapping[str, str],
) -> list[StageReport]:
    reports = []
    nodes = prefix_tree(strategies)
    for parent in dict.fromkeys(node.parent for node in nodes):
        counts = {"traces/kept": 5.0, "traces/total": 9.0}
        reports.append(_report(SweepStage(seed, parent, "bootstrap"), "bootstrap", counts, calls=10))
    for node in nodes:
        name, before = " -> ".join(node.prefix), " -> ".join(node.parent)
        scores = {"val/score": validation[name], "val/score_before": validation.get(before, VALIDATION)}
        more = {"train/tokens": 1000.0} if node.kind == "w" else {}
        reports.append(_report(SweepStage(seed, node.prefix), node.kind, scores | more, calls=100))
        if node.is_wanted:
            reports.append(_scored(seed, node.prefix, right[name], outcomes))
    return reports


def _report(stage: SweepStage, kind: str, metrics: dict[str, float], calls: int, **more: Any) -> StageReport:
    usage = Usage(calls, 0, 2 * calls, 2 * calls, calls)
    series = {"train/loss": [(1, 0.75), (2, 0.5)], "train/val_loss": [(1, 0.625)]} if kind == "w" else {}
    return StageReport(
        stage.label, kind, metrics=metrics, series=series, usage=usage, started=10.0, ended=10.0 + calls, **more
    )


def _prepared(seed: int) -> StageReport:
    params = {"seed": seed, "model": "tiny", "model_revision": "abc"}
    rows = {"rows/train": 9.0, "rows/val": 20.0, "rows/test": float(ROWS)}
    return StageReport(f"s{seed}.prepare", "prepare", params, rows, started=0.0, ended=1.0)


def _scored(seed: int, prefix: Strategy, right: int, outcomes: Mapping[str, str]) -> StageReport:
    stage = SweepStage(seed, prefix, "score")
    names = [" -> ".join(prefix[:length]) for length in range(1, len(prefix) + 1)]
    params = {
        "arm": " -> ".join(prefix) or VANILLA,
        "seed": seed,
        "examples": "digest",
        "outcomes": [outcomes.get(name, "") for name in names],
        PROGRAM_URI: f"program of {stage.label}",
    }
    tokens = {"cost/prompt_tokens_per_example": 50.0 + len(prefix), "cost/completion_tokens_per_example": 2.0}
    scores = tuple(float(row < right) for row in range(ROWS))
    return _report(stage, "score", tokens, calls=ROWS, params=params, scores=scores)


@dataclass(frozen=True)
class Found:
    """What `compare_arms` hands to the report."""

    program: str
    results: str
    vanilla: str


def compared(
    folder: Path, reports: Sequence[StageReport], arms: Sequence[str] = ARMS, group_size: int = 0, **options: Any
) -> tuple[dict[str, Any], Found]:
    output = ComparedFolder(folder / "compared")
    seeds = [_scored_folder(folder / f"seed {seed}", seed, reports, group_size) for seed in SEEDS]
    report, program = compare_arms(seeds, [parse_strategy(arm) for arm in arms], output, **options)
    sweep = json.loads(output.sweep.read_text())
    assert (report.stage, report.note) == ("compare", sweep["verdict"]["sentence"])
    assert output.config == CONFIG
    assert [trace.prediction for trace in read_traces(output.traces)] == [
        row.prediction for row in read_results(output.results, ScoredRow)
    ]
    return sweep, Found(program, _stage_of(output.results), _stage_of(output.vanilla))


def _winner(sweep: dict[str, Any]) -> tuple[str, int]:
    return sweep["winner"]["arm"], sweep["winner"]["seed"]


def _stage_of(results: Path) -> str:
    """The stage whose answers the file holds."""
    (stage,) = {str(row.prediction["of"]) for row in read_results(results, ScoredRow)}
    return f"results of {stage}"


def _scored_folder(folder: Path, seed: int, reports: Sequence[StageReport], group_size: int) -> ScoredFolder:
    """The folder of one seed, as `score_arms` writes it."""
    scored = ScoredFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    own = [report for report in reports if SweepStage.of(report.stage).seed == seed]
    scored.write(CONFIG.model_copy(update={"seed": seed}), own)
    for report in own:
        if report.kind == "score":
            lines = [
                ScoredRow(
                    example=f"e{row}",
                    row={},
                    group=str(row // group_size) if group_size else None,
                    score=score,
                    prediction={"of": report.stage},
                    error=None,
                )
                for row, score in enumerate(report.scores)
            ]
            write_results(scored.results(report.params["arm"]), lines)
            traces = scored.traces(report.params["arm"])
            traces.parent.mkdir(exist_ok=True)
            write_traces(traces, [Trace(line.example, line.score, prediction=line.prediction) for line in lines])
    return scored


#: On the test rows `p -> w` is best, on validation `p` is.
RIGHT = {"vanilla": 4, "p": 30, "w": 20, "p -> w": 38}
VALIDATED = {"p": 0.9, "w": 0.6, "p -> w": 0.8}


def test_the_winner_is_chosen_by_validation_and_not_by_the_test_rows(tmp_path: Path) -> None:
    sweep, found = compared(tmp_path, made_up(RIGHT, VALIDATED))
    assert max(sweep["arms"], key=lambda arm: arm["mean"])["name"] == "p -> w"
    assert _winner(sweep) == ("p", 3)
    assert (found.program, found.results) == ("program of s3.p.score", "results of s3.p.score")
    assert found.vanilla == "results of s3.score"


def test_within_the_winning_arm_the_best_seed_wins(tmp_path: Path) -> None:
    sweep, found = compared(tmp_path, made_up(RIGHT, VALIDATED | {"p": [0.85, 0.95, 0.85], "w": [1.0, 0.1, 0.1]}))
    assert _winner(sweep) == ("p", 8)
    assert found.program == "program of s8.p.score"


def test_ties_go_to_the_earlier_arm(tmp_path: Path) -> None:
    reports = made_up(RIGHT, dict.fromkeys(ARMS, 0.75))
    assert _winner(compared(tmp_path, reports, ["w", "p"])[0]) == ("w", 3)
    assert _winner(compared(tmp_path, reports, ["p", "w"])[0]) == ("p", 3)


def test_there_is_no_winner_where_no_arm_beats_vanilla_on_validation(tmp_path: Path) -> None:
    sweep, found = compared(tmp_path, made_up(RIGHT, dict.fromkeys(ARMS, VALIDATION)))
    assert sweep["winner"] is None
    assert (found.program, found.results) == ("program of s3.score", "results of s3.score")


def test_an_arm_is_its_last_program(tmp_path: Path) -> None:
    """`p -> w` is what `w` made, also where the `p` before it was better."""
    sweep, _ = compared(tmp_path, made_up(RIGHT | {"p -> w": 2}, VALIDATED), ["p", "p -> w"])
    line = sweep["arms"][1]
    assert line["by_seed"] == {"3": 2 / ROWS, "8": 2 / ROWS, "9": 2 / ROWS}
    assert (line["validation"], line["validation_by_seed"]) == (pytest.approx(0.8), {"3": 0.8, "8": 0.8, "9": 0.8})


@pytest.mark.parametrize(
    ("right", "word"),
    [
        (RIGHT, "weights pay"),
        (RIGHT | {"p": 38, "w": 20}, "prompts alone suffice"),
        ({"vanilla": 20, "p": 18, "w": 22, "p -> w": 21}, "undecided"),
    ],
    ids=["weights", "prompts", "undecided"],
)
def test_the_verdict_is_that_of_the_statistics(right: Mapping[str, int], word: str, tmp_path: Path) -> None:
    verdict = compared(tmp_path, made_up(right, VALIDATED), margin=0.1)[0]["verdict"]
    assert verdict["word"] == word
    assert verdict["label"].startswith(word)
    assert verdict["sentence"]
    assert (verdict["more_rows"] != [0, 0]) == (word == "undecided")


def test_groups_of_test_rows_count_as_one_each(tmp_path: Path) -> None:
    reports = made_up({"vanilla": 4, "p": 36, "w": 20}, VALIDATED)
    alone = compared(tmp_path / "alone", reports, ["p", "w"])[0]
    grouped = compared(tmp_path / "grouped", reports, ["p", "w"], group_size=10)[0]
    basis = [sweep["arms"][0]["versus_vanilla"]["basis"] for sweep in (alone, grouped)]
    assert [(one["rows"], one["groups"]) for one in basis] == [(ROWS, ROWS), (ROWS, ROWS // 10)]
    gains = [sweep["arms"][0]["versus_vanilla"] for sweep in (alone, grouped)]
    widths = [gain["high"] - gain["low"] for gain in gains]
    assert widths[1] > 1.5 * widths[0]
    assert "in 4 groups" in grouped["verdict"]["sentence"]


@pytest.mark.parametrize(
    ("look", "level", "words"),
    [
        (Look(), 0.05, "would be a second look"),
        (Look(1, 2), 0.01, "first of two planned looks, tested at 1%"),
        (Look(2, 2), 0.04, "second and last of two planned looks, tested at 4%"),
    ],
    ids=["only", "first", "second"],
)
def test_a_look_is_tested_at_its_level_and_an_undecided_verdict_says_which_it_is(
    look: Look, level: float, words: str, tmp_path: Path
) -> None:
    right = {"vanilla": 20, "p": 18, "w": 22, "p -> w": 21}
    sweep = compared(tmp_path, made_up(right, VALIDATED), look=look)[0]
    assert sweep["verdict"]["word"] == "undecided"
    assert words in sweep["verdict"]["sentence"]
    assert sweep["alpha"] == pytest.approx(level)
    assert sweep["look"] == {"number": look.number, "planned": look.planned, "total_alpha": 0.05}


def test_the_first_of_two_looks_has_wider_intervals_than_an_only_look(tmp_path: Path) -> None:
    ends = []
    for name, look in (("only", Look()), ("first", Look(1, 2))):
        (tmp_path / name).mkdir()
        gain = compared(tmp_path / name, made_up(RIGHT, VALIDATED), look=look)[0]["arms"][0]["versus_vanilla"]
        ends.append((gain["low"], gain["high"], gain["p_value"]))
    (low, high, p_value), (lower, higher, same) = ends
    assert lower < low < high < higher
    assert p_value == same


@pytest.mark.parametrize(("arms", "lacking"), [(["p"], "strategy with `w`"), (["w"], "prompts-only strategy")])
def test_without_one_kind_of_arm_there_is_a_table_but_no_verdict(arms: list[str], lacking: str, tmp_path: Path) -> None:
    sweep, _ = compared(tmp_path, made_up(RIGHT, VALIDATED), arms)
    assert [arm["name"] for arm in sweep["arms"]] == arms
    assert sweep["arms"][0]["versus_vanilla"]["mean"] > 0.0
    assert (sweep["verdict"]["label"], sweep["verdict"]["word"]) == ("no verdict", "")
    assert lacking in sweep["verdict"]["sentence"]


def test_the_cost_of_an_arm_is_that_of_its_whole_path(tmp_path: Path) -> None:
    sweep, _ = compared(tmp_path, made_up(RIGHT, VALIDATED))
    costs = {arm["name"]: arm["cost"] for arm in sweep["arms"]}
    assert costs["p"] == {
        "lm_calls": 110, "prompt_tokens": 220, "completion_tokens": 110, "train_tokens": 0, "seconds": 111.0,
    }  # fmt: skip
    assert (costs["p -> w"]["lm_calls"], costs["p -> w"]["train_tokens"]) == (220, 1000)


def test_the_tree_is_cheaper_than_the_arms_one_by_one(tmp_path: Path) -> None:
    cost = compared(tmp_path, made_up(RIGHT, VALIDATED))[0]["cost"]
    a_seed = 2 * 10 + 3 * 100 + 3 * ROWS  # traces of vanilla and of p, the steps, the scores
    assert cost["lm_calls"] == 3 * a_seed + ROWS
    one_by_one = (110 + ROWS) + (110 + ROWS) + (220 + ROWS)
    assert cost["lm_calls_one_by_one"] == 3 * one_by_one + ROWS
    assert cost["seconds"] == 3 * (a_seed + 1) + ROWS
    assert cost["seconds_one_by_one"] == 3 * (one_by_one + 3) + ROWS


def test_nodes_describe_the_tree(tmp_path: Path) -> None:
    outcome = "skipped: 1 trace reaches the threshold"
    sweep, _ = compared(tmp_path, made_up(RIGHT, VALIDATED, {"p -> w": outcome}))
    assert [(node["seed"], node["stage"], node["parent"]) for node in sweep["nodes"]] == [
        (seed, *node) for seed in SEEDS for node in (("p", ""), ("w", ""), ("p.w", "p"))
    ]
    last = sweep["nodes"][2]
    assert (last["strategy"], last["kind"], last["outcome"]) == ("p -> w", "w", outcome)
    assert (last["validation_before"], last["validation"]) == (0.9, 0.8)
    assert (last["loss"], last["val_loss"]) == ([[1, 0.75], [2, 0.5]], [[1, 0.625]])
    assert (last["traces_kept"], last["traces_total"], last["train_tokens"]) == (5, 9, 1000)
    skipped = {arm["name"]: arm["skipped"] for arm in sweep["arms"]}
    assert skipped == {"p": [], "w": [], "p -> w": [f"Seed {seed}, step `p -> w`: {outcome}." for seed in SEEDS]}


def test_the_sweep_says_what_was_compared(tmp_path: Path) -> None:
    sweep, _ = compared(tmp_path, made_up(RIGHT, VALIDATED), command="bt sweep", margin=0.2, look=Look(2, 2, 0.1))
    assert (sweep["schema"], sweep["task"], sweep["metric"]) == (2, "tests.core.toy:task", "exact")
    assert (sweep["seeds"], sweep["data_seed"], sweep["rows"]) == ([3, 8, 9], 3, {"train": 9, "val": 20, "test": ROWS})
    assert (sweep["command"], sweep["margin"], sweep["alpha"]) == ("bt sweep", 0.2, 0.08)
    assert sweep["look"] == {"number": 2, "planned": 2, "total_alpha": 0.1}
    assert sweep["vanilla"]["by_seed"] == {"3": 0.1, "8": 0.1, "9": 0.1}
    assert sweep["vanilla"]["prompt_tokens_per_example"] == 50.0
    assert sweep["config"] == CONFIG.model_dump(mode="json")


def test_other_test_rows_are_refused(tmp_path: Path) -> None:
    reports = made_up(RIGHT, VALIDATED)
    reports[-1] = replace(reports[-1], params=reports[-1].params | {"examples": "others"})
    with pytest.raises(DataError, match=r"Arm `p -> w`, seed 9 was scored on other test rows .* same `data_seed`"):
        compared(tmp_path, reports)
    assert not (tmp_path / "compared").exists()


def test_a_missing_report_is_named(tmp_path: Path) -> None:
    reports = [report for report in made_up(RIGHT, VALIDATED) if report.stage != "s8.p.bootstrap"]
    with pytest.raises(DataError, match=r"no report of stage s8\.p\.bootstrap"):
        compared(tmp_path, reports)


def test_a_margin_outside_0_to_1_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="The margin is 1"):
        compared(tmp_path, made_up(RIGHT, VALIDATED), margin=1.5)


def test_an_arm_whose_steps_changed_nothing_is_called_so(tmp_path: Path) -> None:
    right = {"vanilla": 10, "p": 10, "w": 12, "p -> w": 12}
    made = made_up(right, dict.fromkeys(ARMS, VALIDATION))
    reports = [replace(one, params={**one.params, "unchanged": True}) if one.kind == "p" else one for one in made]
    sentence = compared(tmp_path, reports)[0]["verdict"]["sentence"]
    assert "`p` changed nothing: its program is the vanilla one." in sentence
    assert sentence.count("changed nothing") == 1
    assert "changed nothing" not in compared(tmp_path / "other", made)[0]["verdict"]["sentence"]
