"""Settings of what is recorded of a run."""

from pydantic import Field

from bt_core.config.section import Section


class TrackingConfig(Section):
    """What MLflow gets besides runs, where its address is set (docs/mlflow.md)."""

    traces: int = Field(
        200, ge=0, description="test rows that become MLflow traces at most, those whose score changed first; 0: none"
    )
    kept_traces: int = Field(
        0, ge=0, description="traces to learn from that become MLflow traces at most, of each step; 0: none"
    )
