"""Waiting for a TrainJob's end, without waiting for what will never end."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from bt_core.config import TrainJobConfig
from bt_core.errors import TrainingError
from bt_runtime.trainjob.cluster import Cluster
from bt_runtime.trainjob.faults import Fault, find_fault, find_wait, is_lost, node_number
from bt_runtime.trainjob.pod_log import PodLog, last_words

COMPLETE, FAILED, SUSPENDED = "Complete", "Failed", "Suspended"


class PodFault(TrainingError):
    """A pod of the TrainJob will not do its work; the worker in it may have left a sentence that says more."""


class Watch:
    """Looks at one TrainJob again and again.

    Args:
        cluster: where it runs.
        name: of the TrainJob.
        settings: `trainjob.*`.
        seconds: how long to wait between two looks.
    """

    def __init__(self, cluster: Cluster, name: str, settings: TrainJobConfig, seconds: float) -> None:
        self.cluster, self.name, self.settings, self.seconds = cluster, name, settings, seconds
        self.log = PodLog(cluster)
        self._waiting: dict[str, float] = {}
        self._told = ""
        self._lost_beside: dict[str, str] = {}

    def wait(self) -> str:
        """Show the job's log until it ends; returns how it ended, as the beginning of a sentence.

        Raises:
            PodFault: when a pod ended with an error, cannot start, or does not start for `trainjob.pending_seconds`.
            TrainingError: when the job is deleted, or has not ended after `trainjob.timeout`.
        """
        started = time.monotonic()
        while time.monotonic() - started < self.settings.timeout:
            job = self.cluster.job(self.name)
            if job is None:
                said = last_words(self.log.last)
                raise TrainingError(f"The TrainJob {self.name} was deleted by somebody else before it ended{said}.")
            pods = self.cluster.pods(self.name)
            self.log.show(pods)
            conditions = _conditions(job)
            if COMPLETE in conditions:
                return f"The TrainJob {self.name} ended as {COMPLETE}"
            self._check(pods)
            if FAILED in conditions:
                return f"The TrainJob {self.name} ended as {FAILED} ({conditions[FAILED] or 'without a message'})"
            if SUSPENDED not in conditions:  # a job in a queue, of Kueue for example, may wait as long as it likes
                self._check_waits(pods)
            time.sleep(self.seconds)
        raise TrainingError(
            f"The TrainJob {self.name} has not ended within `trainjob.timeout`, {self.settings.timeout} s, and was"
            " deleted: set a longer time, or see its output above."
        )

    def _check(self, pods: Sequence[Mapping[str, Any]]) -> None:
        self._note_losses(pods)
        for pod in pods:
            fault = find_fault(pod)
            if fault is not None:
                raise PodFault(f"The TrainJob {self.name} was stopped: {fault.sentence}{self._reason(fault)}.")

    def _note_losses(self, pods: Sequence[Mapping[str, Any]]) -> None:
        """Remember for each pod that runs which other node's pod was lost beside it: it cannot go on alone."""
        for lost in filter(is_lost, pods):
            for pod in pods:
                if not is_lost(pod) and node_number(pod) != node_number(lost):
                    self._lost_beside[pod["metadata"]["name"]] = lost["metadata"]["name"]

    def _reason(self, fault: Fault) -> str:
        """Why the pod failed and what to do, as the end of a sentence."""
        lost = self._lost_beside.get(fault.pod)
        if lost and not fault.advice:
            return (
                f", after the pod {lost} of the same training was deleted, evicted or preempted: start the run again;"
                " with a shared folder it goes on from the last checkpoint"
            )
        return f"{self.log.last_words(fault)}{f': {fault.advice}' if fault.advice else ''}"

    def _check_waits(self, pods: Sequence[Mapping[str, Any]]) -> None:
        """Say what is waited for, and give up after a while.

        Every new job has no pods for a moment, so their absence is only said at the second look.
        """
        waits = {pod["metadata"]["name"]: wait for pod in pods if (wait := find_wait(pod))}
        if not pods:
            waits = {"": "no pod was created (`kubectl describe jobset` says why)"}
        told = "; ".join(wait for pod, wait in waits.items() if pod or pod in self._waiting)
        now = time.monotonic()
        self._waiting = {pod: self._waiting.get(pod, now) for pod in waits}
        if told and told != self._told:
            print(f"The TrainJob {self.name} waits: {told}", flush=True)
        self._told = told
        patience = self.settings.pending_seconds
        for pod, since in self._waiting.items():
            if now - since >= patience:
                raise PodFault(
                    f"The TrainJob {self.name} was stopped, since after {patience} s (`trainjob.pending_seconds`)"
                    f" {waits[pod]}."
                )


def _conditions(job: Mapping[str, Any]) -> dict[str, str]:
    """The job's conditions that hold, with their messages."""
    found = job.get("status", {}).get("conditions", [])
    return {condition["type"]: condition.get("message", "") for condition in found if condition["status"] == "True"}
