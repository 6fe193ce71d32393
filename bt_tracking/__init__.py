"""Record pipeline runs in MLflow. No other package imports MLflow, and this one only when something is recorded.

A pipeline run is a parent run, and its stages are the children. Nothing is recorded while MLFLOW_TRACKING_URI is not
set.
"""

from bt_tracking.content import cost_metrics
from bt_tracking.data import DataSet
from bt_tracking.ends import end_run
from bt_tracking.entities.models import Shipped, register_model
from bt_tracking.entities.traces import TracedCall, TracedRow, TraceOwner, record_traces
from bt_tracking.experiment import comparison_url, open_experiment, run_url
from bt_tracking.notes import metrics_table, table, usage_table
from bt_tracking.outage import wait_patiently
from bt_tracking.pipeline import fail_parent, finish_parent, run_name, start_parent
from bt_tracking.registry import SLOT, register_prompts
from bt_tracking.stages import record

__all__ = [
    "SLOT",
    "DataSet",
    "Shipped",
    "TraceOwner",
    "TracedCall",
    "TracedRow",
    "comparison_url",
    "cost_metrics",
    "end_run",
    "fail_parent",
    "finish_parent",
    "metrics_table",
    "open_experiment",
    "record",
    "record_traces",
    "register_model",
    "register_prompts",
    "run_name",
    "run_url",
    "start_parent",
    "table",
    "usage_table",
    "wait_patiently",
]
