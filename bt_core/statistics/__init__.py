"""Compare the strategies of a sweep and say which was worth it, with error rates that hold (docs/statistics.md)."""

from bt_core.statistics.arms import VANILLA, Arm
from bt_core.statistics.drift import ColumnDrift, input_drift
from bt_core.statistics.judging.rules import DEFAULT_MARGIN, Word
from bt_core.statistics.judging.verdict import Verdict, judge
from bt_core.statistics.paired import Difference, paired_difference
from bt_core.statistics.proportion import proportion_interval, share_interval
from bt_core.statistics.table import ArmSummary, Contrast, Table, compare

__all__ = [
    "DEFAULT_MARGIN",
    "VANILLA",
    "Arm",
    "ArmSummary",
    "ColumnDrift",
    "Contrast",
    "Difference",
    "Table",
    "Verdict",
    "Word",
    "compare",
    "input_drift",
    "judge",
    "paired_difference",
    "proportion_interval",
    "share_interval",
]
