"""The outcome of a retraining: how it ended, as its pipeline run shows it."""

from bt_tracking.connection import connect
from bt_tracking.experiment import run_url
from bt_tracking.pipeline import fail_parent, finish_parent
from bt_tracking.retraining.ledger import needed_settings

#: Tags of a retraining's pipeline run: its outcome, and the reason.
OUTCOME_TAG, REASON_TAG = "retrain", "retrain.reason"
FAILED = "failed"


def close_run(failure: str | None) -> dict[str, str]:
    """Mark the pipeline run as finished or, with a sentence, as failed. Doing so twice changes nothing.

    Returns:
        `outcome` and `reason` from the run's tags, and the `url` of its page where MLflow has pages. Empty where
        nothing names the pipeline run.

    Raises:
        ConfigError: when no tracking server is set.
        TrackingError: when the server does not answer or refuses.
    """
    settings = needed_settings()
    run_id = finish_parent({}) if failure is None else fail_parent(failure)
    if run_id is None:
        return {}
    with connect(settings, "the end of the run") as client:
        if failure is not None:
            client.set_tag(run_id, OUTCOME_TAG, FAILED)
            client.set_tag(run_id, REASON_TAG, failure)
        run = client.get_run(run_id)
        page = run_url(settings.uri, run.info.experiment_id, run_id) if settings.uri.startswith("http") else ""
        return {
            "outcome": run.data.tags.get(OUTCOME_TAG, ""),
            "reason": run.data.tags.get(REASON_TAG, ""),
            "url": page,
        }
