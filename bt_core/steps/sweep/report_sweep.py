"""Complete sweep.json with what the winner's program and the results of two programs tell."""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bt_core.errors import DataError
from bt_core.program import LineageStep, Program, program_sha256, read_program
from bt_core.records import Row, StageReport, canonical_json, read_jsonl
from bt_core.statistics import VANILLA

#: How many changed rows of each kind are shown.
SHOWN = 20


def report_sweep(
    sweep: Path, program: Path, results: Path, vanilla: Path, completed: Path, shipped: Path
) -> StageReport:
    """Write the whole sweep.json, and a copy of the program to ship.

    Args:
        sweep: sweep.json as `compare_arms` wrote it.
        program: the winner's program; the vanilla one where no arm won.
        results: that program's results.
        vanilla: the vanilla program's results.
        completed: JSON file to write.
        shipped: directory to copy the program to.

    Raises:
        ProgramError: when the program directory is damaged.
        DataError: when the two results are not of the same rows.
    """
    started = time.time()
    content = json.loads(sweep.read_text(encoding="utf-8"))
    made = read_program(program)
    if content["winner"]:
        content["winner"] |= _winner(made, program)
    content["changed"] = changed(read_jsonl(vanilla), read_jsonl(results))
    completed.parent.mkdir(parents=True, exist_ok=True)
    completed.write_text(canonical_json(content), encoding="utf-8")
    if shipped.exists():
        shutil.rmtree(shipped)
    shutil.copytree(program, shipped)
    return StageReport(
        "report", "report", metrics=_metrics(content), note=_note(content), started=started, ended=time.time()
    )


def _winner(program: Program, folder: Path) -> dict[str, Any]:
    return {
        "program_sha256": program_sha256(folder),
        "lineage": list(map(_step, program.lineage)),
        "predictors": {name: asdict(state) for name, state in program.predictors.items()},
    }


def _step(step: LineageStep) -> dict[str, Any]:
    names = ("kind", "stage", "seed", "val_before", "val_after", "outcome", "parent")
    return {name: getattr(step, name) for name in names}


def _metrics(content: Mapping[str, Any]) -> dict[str, float]:
    """The winning arm against vanilla, under the names that a single run gives them."""
    found = {"test/vanilla": content["vanilla"]["mean"], "test/rows": float(content["rows"]["test"])}
    if content["winner"]:
        arm = next(arm for arm in content["arms"] if arm["name"] == content["winner"]["arm"])
        gain = arm["versus_vanilla"]
        found |= {"test/final": arm["mean"], "test/difference": gain["mean"]}
        found |= {"test/difference_low": gain["low"], "test/difference_high": gain["high"]}
    return found


def _note(content: Mapping[str, Any]) -> str:
    """Markdown: the verdict first, then the arms, the best by test score on top."""
    verdict = content["verdict"]
    arms = sorted(content["arms"], key=lambda arm: -float(arm["mean"]))
    lines = [f"**{verdict['label']}.** {verdict['sentence']}", ""]
    lines += ["| arm | test | interval | validation |", "|---|---|---|---|"]
    for arm in ({**content["vanilla"], "name": VANILLA, "validation": None}, *arms):
        validation = "" if arm["validation"] is None else f"{arm['validation']:.3f}"
        lines.append(f"| {arm['name']} | {arm['mean']:.3f} | {arm['low']:.3f} to {arm['high']:.3f} | {validation} |")
    return "\n".join(lines)


def changed(before: Sequence[Row], after: Sequence[Row]) -> dict[str, Any]:
    """The rows that one program scores higher on than another, and those that it scores lower on.

    Args:
        before, after: rows of two results files, {example, row, score, prediction, error}.

    Raises:
        DataError: when they are not of the same examples in the same order.
    """
    if [row["example"] for row in before] != [row["example"] for row in after]:
        raise DataError("The two results are not of the same test rows: score both programs on one test split.")
    pairs = list(zip(before, after, strict=True))
    gained = [_change(*pair) for pair in pairs if pair[1]["score"] > pair[0]["score"]]
    lost = [_change(*pair) for pair in pairs if pair[1]["score"] < pair[0]["score"]]
    counts = {"gained_count": len(gained), "lost_count": len(lost)}
    return {"gained": gained[:SHOWN], "lost": lost[:SHOWN], **counts}


def _change(before: Row, after: Row) -> Mapping[str, Any]:
    """A row with both predictions; an example that failed has none."""
    return {"row": before["row"], "before": before["prediction"], "after": after["prediction"]}
