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
from bt_core.steps.retrain.challenge import DECISION, KEEP, REASON, SCORE
from bt_core.steps.retrain.fresh import DATA_DIGEST, fresh
from bt_core.steps.retrain.row_roles import Ledger, RunRecord
from bt_core.web import Unanswered, send
from bt_runtime.reports import RUN_ID
from bt_tracking.retraining import champion, ledger, outcome
from bt_tracking.retraining.outcome import FAILED, OUTCOME_TAG, REASON_TAG

#: Environment variable: address of a webhook that is told how a run ended. It may be a secret, so it is no setting.
WEBHOOK_VARIABLE = "BT_WEBHOOK_URL"
#: Outcomes of a retraining. Superseded: the challenger won, but another run had changed the champion meanwhile.
PROMOTED, KEPT, SUPERSEDED, STOPPED = "promoted", "kept", "superseded", "stopped"
#: Words for the end of a run that went well: of Kubeflow's metadata store, of its API and of `kfp.local`.
_GOOD_STATES = frozenset({"COMPLETE", "CACHED", "SUCCEEDED"})
_WEBHOOK_SECONDS = 10.0


def begin(
    overrides: Mapping[str, Any], splits: Mapping[str, Path], program: Path, holder: Path, rows: Path
) -> tuple[Config, StageReport, str]:
    """Fetch the champion, read the data, and write the program to start from.

    Args:
        overrides: the user's settings.
        splits: split -> file to write.
        program: directory for the program that is to be optimised.
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
    known = Ledger(RunRecord(roles, concluded) for roles, concluded in ledger.read_ledger(task))
    config, report = fresh(overrides, known, holder if found else None, splits, program, rows)
    if found is None:
        shutil.copytree(program, holder)
    return config, report, found.dump() if found else ""


def stop_early(reason: str) -> None:
    """Record on the pipeline run why it ended early; with an empty reason, it did not."""
    if reason:
        tags = {OUTCOME_TAG: STOPPED, REASON_TAG: reason}
        bt_tracking.finish_parent({}, note=f"**Stopped early:** {reason}", tags=tags)


def promoted_score(incumbent: str) -> dict[str, Any]:
    """The champion's score when it was promoted, as `drift` takes it; empty where there is no champion."""
    found = champion.Champion.load(incumbent)
    return dict(json.loads(found.tags.get("test.score", "{}"))) if found else {}


def make_model(program: Path, model: Path, comparison: StageReport) -> StageReport:
    """Save the challenger as an MLflow model, and report the decision about it."""
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
    """Carry out the decision. Doing so twice changes nothing.

    Args:
        promotion: report of `make_model`; the model of its MLflow run is registered.
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
    run_id = str(promotion.params[RUN_ID])
    version = champion.propose(config.task, run_id, _tags(rows_report, comparison, config, expected, program))
    # Before an alias moves: rows that were compared on must not look fresh to the next run.
    ledger.conclude(str(rows_report.params[RUN_ID]), decision)
    won = decision != KEEP and champion.promote(config.task, version, expected)
    became = PROMOTED if won else KEPT if decision == KEEP else SUPERSEDED
    reason = str(comparison.params[REASON])
    if became == SUPERSEDED:
        reason += " Meanwhile the champion has changed, so it was left as it is."
    champion.label(config.task, version, {"outcome": became})
    tags = {OUTCOME_TAG: became, REASON_TAG: reason, "model.version": str(version)}
    bt_tracking.finish_parent(comparison.metrics, note=f"**{became}.** {reason}", tags=tags)
    figures = {"scores": comparison.metrics, "program_sha256": program_sha256(program), "run": run_id}
    return {"outcome": became, "reason": reason, "task": config.task, "version": version, **figures}


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
        "compared.with": str(expected.version) if expected else "",
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
