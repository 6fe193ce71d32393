"""What the components of a retraining share: the steps, the Model Registry and the webhook brought together.

It is apart from `bt_runtime.finish`, since no other pipeline needs it.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bt_tracking
from bt_core.config import Config, resolve_config
from bt_core.program import program_sha256
from bt_core.records import StageReport, canonical_json
from bt_core.statistics.promotion import Night, Ruling
from bt_core.steps.retrain.challenge import CHAMPION_SCORE, DECISION, FIRST, JUDGE, KEEP, NIGHT, REASON, SCORE
from bt_core.steps.retrain.fresh import DATA_DIGEST, IN_SHADOW, fresh
from bt_core.steps.retrain.row_roles import Ledger
from bt_core.steps.retrain.shadow import judged, nights_until
from bt_core.web import Unanswered, send
from bt_runtime.reports import RUN_ID
from bt_tracking.retraining import champion, ledger, outcome
from bt_tracking.retraining.champion import COMPARED_TAG, SCORE_TAG, SHADOW, SUPERSEDED
from bt_tracking.retraining.outcome import FAILED, OUTCOME_TAG, REASON_TAG
from bt_tracking.retraining.stored import stored

#: Environment variable: address of a webhook that is told how a run ended. It may be a secret, so it is no setting.
WEBHOOK_VARIABLE = "BT_WEBHOOK_URL"
#: Outcomes of a retraining besides `SHADOW` and `SUPERSEDED` (the challenger won, but the champion had changed
#: meanwhile): the challenger is champion, was given up, or equals the champion; there was nothing to do.
PROMOTED, DROPPED, KEPT, STOPPED = "promoted", "dropped", "kept", "stopped"
#: Words for the end of a run that went well: of Kubeflow's metadata store, of its API and of `kfp.local`.
_GOOD_STATES = frozenset({"COMPLETE", "CACHED", "SUCCEEDED"})
_WEBHOOK_SECONDS = 10.0


def begin(
    overrides: Mapping[str, Any], splits: Mapping[str, Path], program: Path, holder: Path, rows: Path
) -> tuple[Config, StageReport, str]:
    """Fetch the champion and the challenger in shadow, read the data, and write the program to start from.

    Args:
        overrides: the user's settings.
        splits: split -> file to write.
        program: directory for the program that is to be optimised, or for the challenger in shadow.
        holder: directory for the champion, or for a copy of `program` where there is no champion.
        rows: folder for the rows that the drift report and the ledger need.

    Returns:
        The merged configuration, the report, and the champion as text, which is empty where there is none.

    Raises:
        BtError: when an input is not usable, or MLflow or S3 fails.
    """
    task = resolve_config(overrides).task
    for folder in (holder, program, rows):  # left over from an attempt that was killed
        shutil.rmtree(folder, ignore_errors=True)
    found = champion.fetch_champion(task, holder)
    version = champion.fetch_challenger(task, found, program) if found else None
    known = Ledger(ledger.read_ledger(task))
    in_shadow = "" if version is None else str(version)
    config, report = fresh(overrides, known, holder if found else None, splits, program, rows, in_shadow=in_shadow)
    if found is None:
        shutil.copytree(program, holder)
    return config, report, found.dump() if found else ""


def stop_early(reason: str) -> None:
    """Record on the pipeline run why it ended early; with an empty reason, it did not."""
    if reason:
        tags = {OUTCOME_TAG: STOPPED, REASON_TAG: reason}
        bt_tracking.finish_parent({}, note=f"**Stopped early:** {reason}", tags=tags)


def score_after_promotion(incumbent: str) -> dict[str, Any]:
    """The champion's score on the first sealed rows after its promotion, as `drift` takes it; empty without one."""
    found = champion.Champion.load(incumbent)
    what = f"The tag `{SCORE_TAG}` of the champion's version"
    return stored(dict[str, float | int], found.tags.get(SCORE_TAG, "{}"), what) if found else {}


def make_model(program: Path, model: Path, comparison: StageReport) -> StageReport:
    """Save the challenger as an MLflow model, and report what its rows show."""
    from bt_tracking.serving import save_model

    started = time.time()
    shutil.rmtree(model, ignore_errors=True)
    save_model(program, model)
    params = {name: comparison.params[name] for name in (DECISION, REASON)}
    note = str(comparison.params[REASON])
    return StageReport("promote", "promote", params=params, note=note, started=started, ended=time.time())


def settle(
    promotion: StageReport,
    rows_report: StageReport,
    comparison: StageReport,
    config: Config,
    incumbent: str,
    program: Path,
) -> dict[str, Any]:
    """Add the run's evidence to the ledger, and carry out what all of it leads to. Doing so twice changes nothing.

    Args:
        promotion: report of `make_model`; the model of its MLflow run is registered where the challenger is new.
        rows_report: report of `begin`; its MLflow run holds the ledger's record.
        comparison: report of `challenge`.
        config: the merged configuration.
        incumbent: the champion as `begin` found it.
        program: the challenger's program directory.

    Returns:
        `outcome`, `reason`, the version, and the figures behind the decision.

    Raises:
        TrackingError: when MLflow does not answer or refuses.
    """
    expected, decision = champion.Champion.load(incumbent), str(comparison.params[DECISION])
    run_id, record = str(promotion.params[RUN_ID]), str(rows_report.params[RUN_ID])
    in_shadow, tags = rows_report.params[IN_SHADOW], _tags(rows_report, comparison, config, expected, program)
    version = int(in_shadow) if in_shadow else champion.propose(config.task, run_id, tags)
    # Before an alias moves: the evidence has to be there for whoever finds the challenger in shadow.
    pair = (expected.version, version) if expected and decision == JUDGE else None
    ledger.conclude(record, decision, pair, _night(comparison) if pair else None)
    became, reason, figures = _judged(comparison, config, record, pair)
    if became == PROMOTED and not champion.promote(config.task, version, expected):
        became, reason = SUPERSEDED, f"{reason} Meanwhile the champion has changed, so it was left as it is."
    _note_score(comparison, config.task, version, expected)
    champion.label(config.task, version, {"reason": reason, champion.OUTCOME_TAG: became})
    scores = comparison.metrics | figures
    outcome_tags = {OUTCOME_TAG: became, REASON_TAG: reason, "model.version": str(version)}
    bt_tracking.finish_parent(scores, note=f"**{became}.** {reason}", tags=outcome_tags)
    found = {"scores": scores, "program_sha256": program_sha256(program), "run": run_id}
    return {"outcome": became, "reason": reason, "task": config.task, "version": version, **found}


def _judged(
    comparison: StageReport, config: Config, record: str, pair: tuple[int, int] | None
) -> tuple[str, str, dict[str, float]]:
    """What the challenger becomes, why, and the figures of all its nights."""
    shown = str(comparison.params[REASON])
    if pair is None:
        return KEPT if comparison.params[DECISION] == KEEP else PROMOTED, shown, {}
    nights = nights_until(record, ledger.read_nights(config.task, pair))
    ruling, evidence, sentence = judged(nights, config.retrain)
    outcomes = {Ruling.PROMOTE: PROMOTED, Ruling.WAIT: SHADOW, Ruling.DROP: DROPPED}
    figures = {"e_value": evidence.e_value, "nights": evidence.nights, "nights_difference": evidence.difference}
    return outcomes[ruling], f"{sentence} {shown}", {f"test/{name}": float(value) for name, value in figures.items()}


def _night(comparison: StageReport) -> Night:
    """The night's bets, as `challenge` reported them."""
    night = comparison.params[NIGHT]
    return Night(**(night | {"growth": tuple(night["growth"])}))


def _note_score(comparison: StageReport, task: str, version: int, expected: champion.Champion | None) -> None:
    """Keep the champion's score on rows that did not choose it: these, also where it is the first one."""
    if comparison.params[DECISION] == FIRST:
        champion.note_score(task, version, json.dumps(comparison.params[SCORE], sort_keys=True))
    elif expected:
        champion.note_score(task, expected.version, json.dumps(comparison.params[CHAMPION_SCORE], sort_keys=True))


def write_outcome(content: Mapping[str, Any], path: Path) -> None:
    """Write what `settle` returns as JSON."""
    path.write_text(canonical_json(dict(content)), encoding="utf-8")


def _tags(
    rows_report: StageReport, comparison: StageReport, config: Config, expected: champion.Champion | None, program: Path
) -> dict[str, str]:
    """The tags of a version: its data, program and score, and the champion that it was compared with."""
    compared = comparison.params
    return {
        "seed": str(config.seed),
        "data": config.data or config.task,
        "data.sha256": str(rows_report.params[DATA_DIGEST]),
        "program.sha256": program_sha256(program),
        "test.score": json.dumps(compared[SCORE], sort_keys=True),
        COMPARED_TAG: str(expected.version) if expected else "",
        "reason": str(compared[REASON]),
    }


def end(task: str, state: str, message: str) -> StageReport:
    """The exit handler: record how the run ended, and tell the webhook if there is one.

    Args:
        task: the task's name, for the webhook.
        state: how the run ended, in the orchestrator's word; it decides only where no outcome is recorded.
        message: why it failed; Kubeflow leaves it empty (`backend/src/v2/driver/resolve.go` of kubeflow/pipelines).

    Raises:
        TrackingError: when MLflow does not answer; the webhook has been told by then.
    """
    started, failure = time.time(), _failure(state, message)
    news = {"task": task, "state": state, "outcome": FAILED if failure else "", "reason": failure}
    try:
        news |= outcome.close_run(failure)
    finally:
        _tell(os.environ.get(WEBHOOK_VARIABLE, ""), news)
    return StageReport("outcome", "outcome", params=news, started=started, ended=time.time())


def _failure(state: str, message: str) -> str:
    """Why a run without a recorded outcome counts as failed; empty where its state is good."""
    if state in _GOOD_STATES:
        return ""
    if message:
        return message
    if state == "FAILED":
        return "A task failed before the retraining came to an outcome: the log of that task says why."
    return (
        "The run ended before the retraining came to an outcome: a task failed, was stopped or could not start"
        f" (Kubeflow's last state of the run is {state or 'empty'})."
    )


def _tell(address: str, news: Mapping[str, str]) -> None:
    """Post the news to the webhook. One that does not answer is no reason to fail."""
    if not address.startswith(("http://", "https://")):
        return
    try:
        send(address, news, timeout=_WEBHOOK_SECONDS)
    except Unanswered as reason:
        print(f"The webhook in {WEBHOOK_VARIABLE} was not told ({reason}).", file=sys.stderr)
