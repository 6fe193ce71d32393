"""The outcome of a retraining: how it ended, as its pipeline run shows it.

The gate and the promotion record it as tags of the pipeline run. The orchestrator's word for the run's end decides only
where there is no such record.
"""

from bt_tracking.connection import connect
from bt_tracking.experiment import run_url
from bt_tracking.pipeline import fail_parent, finish_parent, parent_tags
from bt_tracking.retraining.ledger import needed_settings

#: Tags of a retraining's pipeline run: its outcome, and the reason.
OUTCOME_TAG, REASON_TAG = "retrain", "retrain.reason"
FAILED = "failed"


def close_run(failure: str) -> dict[str, str]:
    """Mark the pipeline run as finished where an outcome is recorded, or as failed. Doing so twice changes nothing.

    Args:
        failure: a sentence for a run without a recorded outcome; empty: such a run has not failed.

    Returns:
        `outcome` and `reason` from the run's tags, both empty where it has none, and the `url` of its page where MLflow
        has pages. Empty where nothing names the pipeline run.

    Raises:
        ConfigError: when no tracking server is set.
        TrackingError: when the server does not answer or refuses.
    """
    settings = needed_settings()
    tags = parent_tags("the failure of the pipeline run" if failure else "the end of the run")
    # A recorded failure is that of an earlier attempt to close the run.
    has_failed = bool(failure) and tags.get(OUTCOME_TAG, FAILED) == FAILED
    run_id = fail_parent(failure) if has_failed else finish_parent({})
    if run_id is None:
        return {}
    with connect(settings, "the end of the run") as client:
        if has_failed:
            tags = {OUTCOME_TAG: FAILED, REASON_TAG: failure}
            for name, value in tags.items():
                client.set_tag(run_id, name, value)
        run = client.get_run(run_id)
        page = run_url(settings.uri, run.info.experiment_id, run_id) if settings.uri.startswith("http") else ""
        return {"outcome": tags.get(OUTCOME_TAG, ""), "reason": tags.get(REASON_TAG, ""), "url": page}
