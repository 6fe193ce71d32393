"""Stage reports as text, to travel as output parameters of tasks."""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable

from bt_core.errors import DataError
from bt_core.formats.reports import load_report
from bt_core.json_text import LARGEST
from bt_core.records import StageReport, dump_report

#: The param of a report that carries the id of its MLflow run to result.json.
RUN_ID = "mlflow_run_id"

# Kubeflow pastes the elements of a list parameter into JSON without escaping them, so a report may hold no quote and no
# backslash. It also passes the elements twice in one argument, which Linux limits to 128 KB. So reports are compressed
# to about 300 bytes each; zlib's dictionary is the text that most of them share.
_COMMON = b"""
{"params": {"threshold": 1.0, "attempts": 1, "temperature": 1.0, "candidates": 6, "max_demos": 3, "racing": "exact",
"racing_risk": 0.05, "racing_step": 3, "task": "", "seed": 0, "model": "smollm2-135m-instruct", "model_revision": "",
"data/test": "", "data/train": "", "data/val": "", "arm": "p -> w -> p", "examples": "", "outcomes": ["", ""],
"program_uri": "minio://mlpipeline/v2/artifacts/better-together/lora-finetune/optimised", "adapters": "shared",
"alpha": 32, "batch_size": 8, "checkpoint_steps": 0, "dropout": 0.0, "epochs": 3, "force": false, "headroom_samples":
0, "holdout": 0.15, "learning_rate": 0.0002, "micro_batch": 0, "min_headroom": 0.02, "min_traces": 4, "mlflow_run_id":
null, "mode": "pod", "processes": 1, "quantize": "none", "rank": 16, "sft_prompt": "vanilla", "target_modules":
["q_proj", "k_proj", "v_proj", "o_proj"]}, "scores": [1.0, 0.0, 1.0, 1.0, 0.0, 0.0], "metrics": {"rows/test": 150.0,
"rows/train": 60.0, "rows/val": 60.0, "test/score": 0.5, "test/rows": 150.0, "cost/prompt_tokens_per_example": ,
"cost/completion_tokens_per_example": , "search/candidates": 7.0, "search/chosen": 1.0, "search/demos": 3.0,
"search/saved": 0.0, "select/best": 0.5, "select/new": 1.0, "train/best_epoch": 3.0, "train/cached": 0.0,
"train/score": 0.4, "train/seconds": , "train/tokens": , "shard/rows": 3.0, "traces/kept": 30.0, "traces/total": 60.0,
"val/score": 0.5, "val/score_before": 0.4}, "note": "", "scores": [], "series": {"train/loss": [[1, 0.5], [2, 0.4]],
"train/val_loss": [[1, ]]}, "stage": "evaluate.final.1of2", "stage": "score", "kind": "shard", "kind": "bootstrap",
"kind": "p", "kind": "score", "kind": "w", "series": {}, "started": 17, "ended": 17, "usage": {"cached_calls": 0,
"calls": 240, "completion_tokens": 0, "computed_prompt_tokens": 0, "prompt_tokens": 0, "seconds": 0.0}, "warnings": ["
is not in MLflow, its task's log says why; the run goes on."], "warnings": []}
"""


def write_report(*reports: StageReport) -> str:
    """The reports of a task, one for each stage, as compact text that survives Kubeflow's list parameters."""
    packer = zlib.compressobj(9, zdict=_COMMON)
    lines = "\n".join(dump_report(report, compact=True) for report in reports)
    packed = packer.compress(lines.encode()) + packer.flush()
    return urlsafe_b64encode(packed).decode()


def read_report(text: str) -> StageReport:
    """The report of a task that has one stage, from a component's report output.

    Raises:
        DataError: when the text is no report, or one of another release.
    """
    reports = read_reports([text])
    if len(reports) != 1:
        raise DataError(f"A task reports {len(reports)} stages, and one is expected: run the task again.")
    return reports[0]


def read_reports(texts: Iterable[str]) -> list[StageReport]:
    """The reports of all stages of several tasks, in order, from texts of `write_report`.

    Raises:
        DataError: when a text is no report, or one of another release.
    """
    try:
        return [load_report(line) for text in texts for line in _unpacked(text).split("\n")]
    except (ValueError, zlib.error) as error:
        raise DataError(
            f"A stage report cannot be read ({error}): it comes from another release, so run its task again."
        ) from None


def _unpacked(text: str) -> str:
    unpacker = zlib.decompressobj(zdict=_COMMON)
    unpacked = unpacker.decompress(urlsafe_b64decode(text), LARGEST)
    if not unpacker.eof:
        raise ValueError("it is cut off or too large")
    return unpacked.decode()


def run_ids(reports: Iterable[StageReport]) -> dict[str, str]:
    """Stage label -> MLflow run id, for the stages that were tracked."""
    return {report.stage: report.params[RUN_ID] for report in reports if report.params.get(RUN_ID)}
