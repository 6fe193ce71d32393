"""A pod's log: shown as it grows, and its last lines for a sentence."""

import re
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bt_core.errors import ERROR_MARK
from bt_runtime.trainjob.cluster import Cluster
from bt_runtime.trainjob.faults import Fault, node_number
from bt_runtime.trainjob.manifest import NODE

#: How many lines of its output stand in the sentence about a pod, and how many are read to find them.
LAST_LINES, _TAIL = 3, 60
#: Seconds of the log that are read twice, since our clock and the node's clock differ.
_OVERLAP_SECONDS = 5
_ROLE = "jobset.sigs.k8s.io/replicatedjob-name"
_SENTENCE = re.compile(rf"{ERROR_MARK} \d+: (.+)")
#: Lines that say nothing: the log of torch's launcher, its banner around a failed process, and a traceback's markers.
_EMPTY = re.compile(r"[WEI]\d{4} |[=-]+$|[~^]+$")


class PodLog:
    """The log of a TrainJob's first node, printed line by line.

    Attributes:
        last: the lines that were printed last.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.last: deque[str] = deque(maxlen=_TAIL)
        self._stamp, self._printed, self._read_at = "", set[str](), 0.0

    def show(self, pods: Sequence[Mapping[str, Any]]) -> None:
        """Print what the log has more than at the last call."""
        pod = _first_node(pods)
        if pod is None:
            return
        since = {"since_seconds": int(time.monotonic() - self._read_at) + _OVERLAP_SECONDS} if self._read_at else {}
        now = time.monotonic()
        for line in self._cluster.log(pod, NODE, timestamps=True, **since).splitlines():
            self._read_at = now
            stamp, _, text = line.partition(" ")
            if stamp < self._stamp or line in self._printed:
                continue
            if stamp > self._stamp:
                self._stamp, self._printed = stamp, set()
            self._printed.add(line)
            self.last.append(text)
            print(text, flush=True)

    def last_words(self, fault: Fault) -> str:
        """What the pod said last, as the end of a sentence; empty where it said nothing."""
        if not fault.container:
            return ""
        text = self._cluster.log(fault.pod, fault.container, previous=fault.is_previous, tail_lines=_TAIL)
        return last_words(text.splitlines() or self.last)


def last_words(lines: Iterable[str]) -> str:
    """The error's own sentence in these lines, or the last of them, as the end of a sentence without its full stop."""
    kept = [line.rpartition("\r")[2].strip() for line in lines]
    sentences = [found[1] for line in kept if (found := _SENTENCE.search(line))]
    if sentences:
        return f": {sentences[0].rstrip('.')}"
    last = [line for line in kept if line and not _EMPTY.match(line)][-LAST_LINES:]
    return f"; its output ended with: {' | '.join(last).rstrip('.')}" if last else ""


def _first_node(pods: Sequence[Mapping[str, Any]]) -> str | None:
    """The newest pod of node 0 that has begun to write; JobSet and Kubernetes number the nodes by labels."""
    for pod in reversed(pods):
        is_first = pod["metadata"].get("labels", {}).get(_ROLE) == NODE and node_number(pod) == "0"
        if is_first and pod["status"].get("phase") != "Pending":
            return str(pod["metadata"]["name"])
    return None
