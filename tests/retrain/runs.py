"""Retrainings that have come to their comparison, with scores that are made up."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

import bt_tracking
from bt_core.records import StageReport
from bt_core.statistics.drift import ScoreSummary
from bt_core.statistics.promotion import bet
from bt_runtime.reports import RUN_ID
from bt_runtime.retraining import settle
from bt_tracking.connection import RetryingClient
from bt_tracking.registry import registry_name
from bt_tracking.retraining import champion, ledger
from tests.retrain import toy


@dataclass(frozen=True)
class Run:
    """A retraining that has scored its rows: what `settle` takes."""

    task: str
    begun: StageReport
    made: StageReport
    compared: StageReport
    incumbent: str
    program: Path

    def settle(self, **settings: Any) -> dict[str, Any]:
        """Settle under these settings of `retrain`."""
        config = toy.config("none", retrain=settings).model_copy(update={"task": self.task})
        return settle(self.made, self.begun, self.compared, config, self.incumbent, self.program)

    @property
    def in_shadow(self) -> str:
        return str(self.begun.params["in_shadow"])


def decided(
    task: str,
    program: Path,
    run: str,
    monkeypatch: pytest.MonkeyPatch,
    decision: str = "judge",
    wins: int = 20,
    losses: int = 0,
    rows: Sequence[str] = (),
) -> Run:
    """Record the stages of a run up to its comparison.

    Args:
        task, program: the task's name, and the directory of the challenger.
        run: the id of the pipeline run.
        decision: that of the report.
        wins, losses: how often the challenger was right and the champion not, and the other way round.
        rows: the digests of the test rows; one of the run's own when left out.
    """
    monkeypatch.setenv("BT_RUN_ID", run)
    roles = program.parent / ledger.ROLES_FILE
    roles.write_text(json.dumps(dict.fromkeys(rows or [run], "test")))
    found = champion.fetch_champion(task, program.parent / f"champion-{run}")
    version = champion.fetch_challenger(task, found, program.parent / f"challenger-{run}") if found else None
    begun = StageReport("fresh", "fresh", params={"data": "0" * 16, "in_shadow": str(version or "")})
    made = StageReport("promote", "promote")
    scores = [0.0] * wins + [1.0] * losses, [1.0] * wins + [0.0] * losses
    summaries = [asdict(ScoreSummary.of(values)) for values in scores]
    params = {"champion_score": summaries[0], "score": summaries[1], "night": asdict(bet(*scores, 0.0))}
    compared = StageReport("challenge", "challenge", params={"decision": decision, "reason": "Because.", **params})
    begun_id = bt_tracking.record(begun, {ledger.ROLES_FILE: roles}, tags=ledger.ledger_tags(task))
    made_id = bt_tracking.record(made, {} if version else {"model/data/program": program})
    begun.params[RUN_ID], made.params[RUN_ID] = begun_id, made_id
    return Run(task, begun, made, compared, found.dump() if found else "", program)


def aliases(client: RetryingClient, task: str) -> dict[str, int]:
    """The aliases of a task's model, each with its version."""
    found = client.get_registered_model(registry_name(task)).aliases
    return {alias: int(version) for alias, version in found.items()}
