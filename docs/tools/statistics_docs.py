"""Write the tables of docs/statistics.md from the figures in docs/data.

python docs/tools/statistics_docs.py            # write
python docs/tools/statistics_docs.py --check    # only say whether they are up to date
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from generated import ROOT, write_or_check

from bt_core.statistics import Word
from bt_core.statistics.power import detectable_gap, rows_for_gap
from bt_core.statistics.published import Published, Reading, published_difference
from bt_core.statistics.simulate import (
    BEATEN,
    COVERED_GAINS,
    COVERED_GAP,
    COVERED_MEANS,
    THESE,
    WRONG,
)

DOCUMENT = ROOT / "docs" / "statistics.md"
DATA = ROOT / "docs" / "data"
DISCORDANT = (0.1, 0.2, 0.3, 0.4)
SIZES = (50, 150, 300, 1000, 3000)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def method_rates(measured: Mapping[str, Any]) -> str:
    """Error rates of one comparison with three ways to compute its interval."""
    names = list(measured["methods"][0]["rates"])
    rows = [
        [f"{case['rows']:,}", f"{case['seed_sd']:g}", *(f"{case['rates'][name]:.1%}" for name in names)]
        for case in measured["methods"]
    ]
    return table(["test rows", "between-seed deviation", *names], rows)


def error_rates(measured: Mapping[str, Any], is_about_rows: bool) -> str:
    """How often each word is wrong, and how often intervals hold the truth, under two seeds and more.

    A line joins the scenarios `all equal` and `prompts help` of the same kind: `beats vanilla` is wrong in the first,
    `weights pay` in both, and of coverages the lower one is shown.
    """
    head = [
        "test rows",
        "seeds",
        "arms, between-seed deviation",
        "an arm beats vanilla",
        "`weights pay`",
        "other words",
    ]
    if is_about_rows:
        head[2] = "test rows are"
    return table([*head, "W - P", "gains", "means"], _errors(measured, is_about_rows))


def _errors(measured: Mapping[str, Any], is_about_rows: bool) -> Iterator[list[str]]:
    for (number, seeds, what), pair in _pairs(measured).items():
        is_row_case = what.startswith(("groups", "base", "graded"))
        if seeds == 1 or is_row_case != is_about_rows:
            continue
        rates = [scenario["outcomes"] for scenario in pair]
        words = [max(one.get(WRONG + name, 0.0) for one in rates) for name in (BEATEN, Word.WEIGHTS_PAY)]
        others = max(
            one.get(WRONG + Word.PROMPTS_SUFFICE, 0.0) + one.get(WRONG + Word.NONE_BEATS_VANILLA, 0.0) for one in rates
        )
        coverages = [min(one[name] for one in rates) for name in (COVERED_GAP, COVERED_GAINS, COVERED_MEANS)]
        yield [f"{number:,}", str(seeds), what, *(f"{rate:.1%}" for rate in (*words, others, *coverages))]


def one_seed(measured: Mapping[str, Any]) -> str:
    """How often a claim about the programs of a single seed is wrong about these programs."""
    lines = [
        [what, *(f"{scenario['outcomes'].get(WRONG + THESE, 0.0):.1%}" for scenario in pair)]
        for (_, seeds, what), pair in _pairs(measured).items()
        if seeds == 1
    ]
    return table(["arms, between-seed deviation", "all equal", "prompts help"], lines)


def _pairs(measured: Mapping[str, Any]) -> dict[tuple[int, int, str], list[dict[str, Any]]]:
    """(rows, seeds, what) -> the scenarios in which no arm with weights is better than prompts alone."""
    pairs: dict[tuple[int, int, str], list[dict[str, Any]]] = {}
    for scenario in measured["scenarios"]:
        if scenario["group"] in ("all equal", "prompts help"):
            truth = scenario["truth"]
            pairs.setdefault((truth["rows"], truth["seeds"], scenario["what"]), []).append(scenario)
    return pairs


def power(measured: Mapping[str, Any]) -> str:
    """How often each verdict is given when weights add something, and when they add nothing."""
    rows = [
        [*_setting(group, scenario), *(f"{scenario['outcomes'].get(word, 0.0):.0%}" for word in Word)]
        for group in ("gain 0.05", "gain 0.10", "prompts help", "all equal")
        for scenario in measured["scenarios"]
        if scenario["group"] == group and (group.startswith("gain") or _is_plain(scenario))
    ]
    return table(["truth", "test rows", "seeds", "arms, between-seed deviation", *map(str, Word)], rows)


def _is_plain(scenario: Mapping[str, Any]) -> bool:
    return scenario["what"] in ("8 arms, 0", "8 arms, 0.03", "groups of 20, icc 0.3") and scenario["truth"]["seeds"] > 1


def _setting(group: str, scenario: Mapping[str, Any]) -> list[str]:
    truth = scenario["truth"]
    return [group, f"{truth['rows']:,}", str(truth["seeds"]), scenario["what"]]


def looks(measured: Mapping[str, Any]) -> str:
    """What one look finds, and two."""
    lines = [
        [case["group"], case["looks"], *(f"{case['outcomes'].get(name, 0.0):.1%}" for name in (*_WRONG, *_FOUND))]
        for case in measured["looks"]
    ]
    return table(["truth", "looks, level", *map(str, _WRONG), *(f"`{word}`" for word in _FOUND)], lines)


_WRONG = (WRONG + BEATEN, WRONG + Word.WEIGHTS_PAY)
_FOUND = (Word.PROMPTS_SUFFICE, Word.WEIGHTS_PAY)


def planning() -> str:
    """The gaps that a test set can find, and the rows that a gap needs, for two fixed programs."""
    gaps = [[f"{rows:,}", *(_gap(detectable_gap(rows, share)) for share in DISCORDANT)] for rows in SIZES]
    needed = [
        [f"rows for a gap of {gap:.2f}", *(f"{rows_for_gap(gap, share):,}" for share in DISCORDANT)]
        for gap in (0.05, 0.1)
    ]
    return table(["test rows", *(f"{share:.0%} discordant" for share in DISCORDANT)], gaps + needed)


def _gap(gap: float) -> str:
    return f"{gap:.3f}" if gap < 1.0 else "none"


def paper(published: Mapping[str, Any]) -> str:
    """The paper's nine cells: p -> w -> p against both prompts-only strategies."""
    return table(["model", "task", "rows", "`p -> w -> p` - `p`", "`p -> w -> p` - `p -> p`"], _cells(published))


def _cells(published: Mapping[str, Any]) -> Iterator[list[str]]:
    for model, scores in published["scores"].items():
        for number, task in enumerate(published["tasks"]):
            differences = _differences(published, scores, number, task)
            yield [model, task, f"{published['test_rows'][task]:,}", *map(_reading, differences)]


def _differences(
    published: Mapping[str, Any], scores: Mapping[str, Sequence[float]], number: int, task: str
) -> list[Published]:
    tuned = scores["p -> w -> p"][number] / 100
    rows, seeds = published["test_rows"][task], published["seeds"]
    return [published_difference(scores[name][number] / 100, tuned, rows, seeds) for name in ("p", "p -> p")]


def _reading(difference: Published) -> str:
    bounds = f"{100 * difference.narrowest:.1f} to {100 * difference.widest:.1f}"
    return f"{100 * difference.gap:+.1f} ± {bounds}: {difference.reading}"


def paper_count(published: Mapping[str, Any]) -> str:
    """A sentence that counts what the eighteen differences show."""
    differences = [
        difference
        for scores in published["scores"].values()
        for number, task in enumerate(published["tasks"])
        for difference in _differences(published, scores, number, task)
    ]
    shown, not_shown, unclear = (
        sum(difference.reading == reading for difference in differences) for reading in Reading
    )
    return (
        f"Of these {len(differences)} differences, the means alone show {shown or 'none'}, cannot show {not_shown}, and"
        f" leave {unclear} to how the rows pair up."
    )


def document() -> str:
    """docs/statistics.md with its tables renewed; the prose between them stays."""
    measured = json.loads((DATA / "statistics_simulation.json").read_text("utf-8"))
    published = json.loads((DATA / "paper_table1.json").read_text("utf-8"))
    blocks = {
        "methods": method_rates(measured),
        "errors": error_rates(measured, is_about_rows=False),
        "rows": error_rates(measured, is_about_rows=True),
        "one seed": one_seed(measured),
        "looks": looks(measured),
        "power": power(measured),
        "planning": planning(),
        "paper": paper(published) + "\n\n" + paper_count(published),
    }
    text = DOCUMENT.read_text("utf-8")
    for name, block in blocks.items():
        mark = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        text = re.sub(mark, lambda match, block=block: f"{match[1]}{block}\n{match[2]}", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    sys.exit(write_or_check({DOCUMENT: document()}))
