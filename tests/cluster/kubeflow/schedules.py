"""The stub's schedules, which own the runs that they start, as the real API has them."""

import uuid
from typing import Any

import kfp_server_api as kfp

from tests.cluster.kubeflow.checks import Refused, Request, checked, page
from tests.cluster.kubeflow.runs import Runs


class Schedules(Runs):
    """Requests for schedules."""

    def create_schedule(self, request: Request) -> Any:
        body = checked("V2beta1RecurringRun", request.json)
        self._check_run(body)
        if not 1 <= int(body.max_concurrency) <= 10:
            raise Refused(400, f"Max concurrency must be at least 1 and at most 10. Received {body.max_concurrency}")
        cron = body.trigger.cron_schedule
        if cron and len(cron.cron.split()) not in (5, 6):  # as robfig/cron, which takes five for six without the last
            raise Refused(400, f"Schedule cron is not a supported format: {cron.cron}")
        if (body.trigger.periodic_schedule is None) == (cron is None):
            raise Refused(400, "One trigger is needed")
        body.recurring_run_id, body.created_at = str(uuid.uuid4()), self.now()
        body.service_account = body.service_account or self.account  # template/template.go
        body.status = "ENABLED" if body.mode == "ENABLE" else "DISABLED"
        self.state.schedules[body.recurring_run_id] = body
        return body

    def list_schedules(self, request: Request) -> Any:
        wanted = request.query.get("experiment_id")
        found = [one for one in self.state.schedules.values() if wanted in (None, one.experiment_id)]
        return page(request, found, kfp.V2beta1ListRecurringRunsResponse, "recurring_runs")

    def delete_schedule(self, request: Request, schedule_id: str) -> None:
        """Kubernetes deletes the workflows that a schedule owns with it, unless they are orphaned."""
        if self.state.schedules.pop(schedule_id, None) is None:
            raise Refused(404, f"Job {schedule_id} not found")
        if self.knows(2, 16) and request.query.get("propagation_policy") == "ORPHAN":
            return
        self.state.lost |= {
            key
            for key, run in self.state.runs.items()
            if run.recurring_run_id == schedule_id and run.state in ("PENDING", "RUNNING")
        }

    def get_schedule(self, request: Request, schedule_id: str) -> Any:
        if schedule_id not in self.state.schedules:
            raise Refused(404, f"Job {schedule_id} not found")
        return self.state.schedules[schedule_id]

    def disable_schedule(self, request: Request, schedule_id: str) -> None:
        if schedule_id not in self.state.schedules:
            raise Refused(404, f"Job {schedule_id} not found")
        self.state.schedules[schedule_id].status = "DISABLED"
