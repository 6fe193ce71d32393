"""The stub's experiments and runs, with their workflows and logs, as the real API has them."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import kfp_server_api as kfp

from tests.cluster.kubeflow.checks import Refused, Request, checked, page
from tests.cluster.kubeflow.state import Backend
from tests.cluster.kubeflow.workflow import Ends, FakeWorkflow


class Runs(Backend):
    """Requests for experiments and runs."""

    def list_experiments(self, request: Request) -> Any:
        found = list(self.state.experiments.values())
        return page(request, found, kfp.V2beta1ListExperimentsResponse, "experiments")

    def create_experiment(self, request: Request) -> Any:
        body = checked("V2beta1Experiment", request.json)
        if any(one.display_name == body.display_name for one in self.state.experiments.values()):
            raise Refused(409, "Already exist error")
        body.experiment_id, body.created_at = str(uuid.uuid4()), self.now()
        self.state.experiments[body.experiment_id] = body
        return body

    def _check_run(self, body: Any) -> None:
        used = body.pipeline_version_reference
        version = self.state.versions.get(used.pipeline_version_id) if used else None
        if version is None or version.pipeline_id != used.pipeline_id:
            raise Refused(404, "Failed to find the pipeline version")
        if body.experiment_id not in self.state.experiments:
            raise Refused(404, "Failed to find the experiment")
        if not body.display_name:
            raise Refused(400, "The name is empty")
        if len(body.display_name) > 255:
            why = "Error 1406 (22001): Data too long for column 'DisplayName' at row 1"
            raise Refused(500, f"Failed to store run {body.display_name} to table: {why}")
        root = self.state.specs[used.pipeline_version_id]["root"]
        known = root.get("inputDefinitions", {}).get("parameters", {})
        unknown = (body.runtime_config.parameters or {}).keys() - known.keys()
        if unknown:
            raise Refused(400, f"Unknown parameters {sorted(unknown)}")

    def create_run(self, request: Request) -> Any:
        return self._add_run(checked("V2beta1Run", request.json))

    def _add_run(self, body: Any) -> Any:
        self._check_run(body)
        body.run_id, body.created_at = str(uuid.uuid4()), self.now()
        self._enter(body, "PENDING")
        body.service_account = body.service_account or self.account
        body.finished_at = datetime(1970, 1, 1, tzinfo=UTC)  # what the backend says of a run that goes on
        self.state.runs[body.run_id] = body
        return body

    def _enter(self, run: Any, state: str) -> None:
        """`error` stays empty, that of the run and those of its history (server/api_converter.go)."""
        run.state = state
        entered = kfp.V2beta1RuntimeStatus(update_time=self.now(), state=state)
        run.state_history = [*(run.state_history or []), entered]

    def start_scheduled(self, schedule_id: str, name: str) -> Any:
        """A run as the schedule's controller starts it."""
        owner = self.state.schedules[schedule_id]
        made = kfp.V2beta1Run(
            display_name=name,
            experiment_id=owner.experiment_id,
            recurring_run_id=schedule_id,
            pipeline_version_reference=owner.pipeline_version_reference,
            runtime_config=owner.runtime_config,
        )
        self._enter(self._add_run(made), "RUNNING")
        return made

    def get_run(self, request: Request, run_id: str) -> Any:
        run = self._run(run_id)
        after = {"PENDING": "RUNNING", "RUNNING": self.outcome, "CANCELING": "FAILED"}.get(run.state)
        if after is None or run_id in self.state.lost or (self.stuck and run.state == "RUNNING"):
            return run
        self._enter(run, after)
        if after == self.outcome:
            run.finished_at = run.created_at + timedelta(minutes=3, seconds=7)
        return run

    def _run(self, run_id: str) -> Any:
        run = self.state.runs.get(run_id)
        if run is None:
            raise Refused(404, f"Run {run_id} not found")
        return run

    def terminate_run(self, request: Request, run_id: str) -> None:
        run = self._run(run_id)
        if run.state not in ("PENDING", "RUNNING"):
            raise Refused(400, f"Failed to terminate a run {run_id}. Row not found")  # storage/run_store.go
        self._enter(run, "CANCELING")
        if run_id in self.state.lost:
            raise Refused(500, f"Failed to terminate run {run_id} due to error terminating its workflow")

    def workflow(self, run_id: str) -> tuple[FakeWorkflow, str]:
        """The workflow of a run, and its manifest; empty before anything has run."""
        run = self._run(run_id)
        built = FakeWorkflow(run.created_at)
        if run.state == "PENDING":
            return built, ""
        spec = self.state.specs[run.pipeline_version_reference.pipeline_version_id]
        tasks = spec["root"]["dag"]["tasks"]
        left = dict(tasks)
        goes_on = run.state in ("RUNNING", "CANCELING")
        phase = "Running" if goes_on else run.state.capitalize()
        if "" in self.ends:
            built.fail_to_start(self.ends[""].message)
            return built, built.manifest("Error")
        failed = False
        while left and not (failed and goes_on):
            key = next(one for one, task in left.items() if not set(task.get("dependentTasks", ())) & left.keys())
            ends = Ends("Omitted") if failed else self.ends.get(key, Ends())
            left.pop(key)
            built.add(key, ends)
            failed = failed or ends.how in ("Failed", "Running", "Pending")
        return built, built.manifest(phase)

    def get_run_v1(self, request: Request, run_id: str) -> Any:
        manifest = self.workflow(run_id)[1]
        return {"run": {"id": run_id}, "pipeline_runtime": {"workflow_manifest": manifest} if manifest else {}}

    def log(self, request: Request, run_id: str, pod: str) -> str:
        """Status 200 has been sent before anything can go wrong (server/run_log_server.go)."""
        found = self._log(run_id, pod)
        if found is not None and (self.multi_user or pod not in self.workflow(run_id)[0].running):
            return found
        why = f"BadRequestError: Failed to read logs for run {run_id}: the specified key does not exist"
        return json.dumps({"error_message": why, "error_details": why}, separators=(",", ":"))

    def dashboard_log(self, request: Request) -> str:
        """As frontend/server/handlers/pod-logs.ts."""
        if not self.dashboard:
            raise Refused(404, "404 page not found")
        if "podname" not in request.query:
            raise Refused(400, "podname argument is required")
        found = self._log(request.query["runid"], request.query["podname"])
        if found is None:
            raise Refused(500, "Could not get main container logs: Error: pods not found")
        return found

    def _log(self, run_id: str, pod: str) -> str | None:
        known = run_id in self.state.runs and run_id not in self.state.lost
        return self.workflow(run_id)[0].logs.get(pod) if known else None

    def list_runs(self, request: Request) -> Any:
        found = list(self.state.runs.values())
        wanted = request.query.get("experiment_id")
        return page(
            request,
            [one for one in found if wanted in (None, one.experiment_id)],
            kfp.V2beta1ListRunsResponse,
            "runs",
        )
