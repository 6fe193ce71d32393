"""The usual mistakes of a task, as sentences."""

from collections.abc import Callable, Iterator

from bt_core.steps.check.group_findings import group_findings
from bt_core.steps.check.report import Evidence, Finding
from bt_core.steps.check.row_findings import data_findings, label_findings, metric_findings, split_findings
from bt_core.steps.check.run_findings import answer_findings, call_findings, prompt_findings, run_findings

RULES: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    run_findings,
    metric_findings,
    label_findings,
    data_findings,
    split_findings,
    group_findings,
    call_findings,
    answer_findings,
    prompt_findings,
)


def findings(evidence: Evidence) -> list[Finding]:
    """Everything that is wrong or odd, mistakes first."""
    in_order_of_rules = [finding for rule in RULES for finding in rule(evidence)]
    return sorted(in_order_of_rules, key=lambda finding: finding.severity != "mistake")
