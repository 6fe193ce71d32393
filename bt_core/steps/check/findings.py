"""The usual mistakes of a task, as sentences."""

from collections.abc import Callable, Iterator

from bt_core.steps.check.group_findings import group_findings
from bt_core.steps.check.label_findings import label_findings
from bt_core.steps.check.prompt_findings import prompt_findings
from bt_core.steps.check.report import SEVERITIES, Evidence, Finding
from bt_core.steps.check.row_findings import data_findings, metric_findings, size_findings, split_findings
from bt_core.steps.check.run_findings import answer_findings, call_findings, run_findings

RULES: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    run_findings,
    metric_findings,
    label_findings,
    data_findings,
    split_findings,
    size_findings,
    group_findings,
    call_findings,
    answer_findings,
    prompt_findings,
)


def findings(evidence: Evidence) -> list[Finding]:
    """Everything that is wrong or odd, mistakes first, and notes last."""
    in_order_of_rules = [finding for rule in RULES for finding in rule(evidence)]
    return sorted(in_order_of_rules, key=lambda finding: SEVERITIES.index(finding.severity))
