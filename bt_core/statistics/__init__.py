"""The honest comparison: which strategy was worth it, with error rates that hold. See docs/statistics.md."""

from bt_core.statistics.arms import VANILLA, Arm
from bt_core.statistics.paired import Difference, paired_difference
from bt_core.statistics.proportion import proportion_interval
from bt_core.statistics.table import ArmSummary, Contrast, Table, compare
from bt_core.statistics.verdict import DEFAULT_MARGIN, Verdict, Word, judge

__all__ = [
    "DEFAULT_MARGIN",
    "VANILLA",
    "Arm",
    "ArmSummary",
    "Contrast",
    "Difference",
    "Table",
    "Verdict",
    "Word",
    "compare",
    "judge",
    "paired_difference",
    "proportion_interval",
]
