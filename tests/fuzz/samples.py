"""Valid files, which the strategies damage."""

import io
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from bt_core.formats.rows import Answer, ChallengeRow, ComparedRow, ScoredRow
from bt_core.formats.run_result import Difference, Evaluation, ProgramTokens, RunResult, Step
from bt_core.program import AdapterRef, Field, LineageStep, PredictorState, Program, adapter_sha256
from bt_core.records import Call, StageReport, Trace, Usage, dump_report
from bt_runtime.reports import write_report
from tests.adapter_files import adapter_files
from tests.report.sweeps import odd, ordinary

ROOT = Path(__file__).parents[2]


def console() -> Console:
    """A terminal that shows nothing."""
    return Console(file=io.StringIO(), width=100)


def _adapter_sha256() -> str:
    """The digest of the adapter that the readers find beside a damaged file."""
    with tempfile.TemporaryDirectory() as folder:
        return adapter_sha256(adapter_files(Path(folder) / "adapter"))


_STATE = PredictorState(
    "Name the colour.",
    (Field("thing", "str", "${thing}"),),
    (Field("colour", "Literal['red', 'blue']"),),
    ({"thing": "sky", "colour": "blue"},),
    {"red": -0.5, "blue": -1.25},
    AdapterRef("adapter", _adapter_sha256()),
)
PROGRAM = asdict(
    Program(
        "iris",
        "smollm2",
        "a" * 40,
        {"paint": _STATE, "shade": PredictorState("Shade it.", (), ())},
        {"closed": "scored", "temperature": 0.0},
        (LineageStep("p", "1.p", 3, {"candidates": 2}, "0" * 64, 0.25, 0.5),),
        {"size": "small"},
    )
)
_CALL = Call("paint", {"thing": "sky"}, {"colour": "red"}, {"red": -0.5, "blue": -0.9})
TRACES = [
    asdict(Trace("e1", 1.0, (_CALL,), {"colour": "red"}, model="smollm2")),
    asdict(Trace("e2", 0.0, error="no answer", attempt=1)),
]
_REPORT = StageReport(
    "2.w",
    "w",
    {"rank": 8, "reason": None},
    {"val/score": 0.5, "train/tokens": 100.0},
    {"train/loss": [(1, 2.5), (2, 1.5)], "train/val_loss": [(1, 2.0)]},
    "# Note",
    ("Few rows.",),
    Usage(10, 2, 300, 200, 40, 1.5),
    1.0,
    2.0,
    (0.0, 1.0, 0.5),
)
REPORT = json.loads(dump_report(_REPORT))
PACKED = write_report(_REPORT)
SWEEPS = [ordinary({"p": 0.6, "p -> w": 0.8}, seeds=(0, 1)), odd()]
for _sweep in SWEEPS:  # shorter curves leave more of the changes to the rest
    for _node in _sweep["nodes"]:
        _node["loss"] = _node["loss"][:3]
RESULT = RunResult(
    strategy="p -> w",
    task="iris",
    seed=0,
    steps=(
        Step(
            stage="1.p",
            kind="p",
            validation=0.5,
            validation_before=0.25,
            seconds=3.5,
            lm_calls=10,
            cached_calls=1,
            prompt_tokens=100,
            computed_prompt_tokens=50,
            completion_tokens=10,
            train_tokens=0,
            train_cached=False,
            traces_kept=3,
            traces_total=5,
            warnings=("Few rows.",),
        ),
    ),
    test=Evaluation(
        vanilla=0.25,
        final=0.5,
        difference=Difference(
            mean=0.25, ci95=(0.0, 0.5), p_value=0.125, method="mcnemar", better=3, worse=1, groups=8, is_same=False
        ),
        rows=8,
        prompt_tokens_per_example=ProgramTokens(vanilla=100.0, final=200.0),
    ),
    program="runs/one/program",
    program_sha256="0" * 64,
    shipped="1.p",
    seconds=10.5,
    warnings=(),
    mlflow={"1.p": "abc"},
    config={"task": "iris", "w": {"rank": 8}},
).content()
_RIGHT = Answer(score=1.0, prediction={"colour": "red"}, error=None)
_WRONG = Answer(score=0.0, prediction={}, error="no answer")
_ROW = {"thing": "sky", "size": 3}
SCORED = [
    ScoredRow(example="e1", row=_ROW, group="a", score=0.5, prediction={"colour": "red"}, error=None).content(),
    ScoredRow(example="e2", row=_ROW, group="b", score=0.0, prediction={}, error="no answer").content(),
    ComparedRow(example="e3", row=_ROW, vanilla=_WRONG, final=_RIGHT).content(),
]
COMPARED = [SCORED[2], ComparedRow(example="e1", row=_ROW, group="a", vanilla=_RIGHT, final=_RIGHT).content()]
CHALLENGED = [ChallengeRow(example="e1", row=_ROW, group="a", champion=_RIGHT, challenger=_WRONG).content()]
MANIFEST = {
    "schema_version": 1,
    "program_sha256": "0" * 64,
    "files": {
        "program.json": {"size": 10, "sha256": "0" * 64},
        "adapter/adapter_config.json": {"size": 2, "sha256": "1" * 64},
    },
}
CONFIG = {
    "task": "iris",
    "seed": 3,
    "data_seed": None,
    "columns": {"text": "sentence"},
    "task_settings": {"size": "small", "parts": [1, 2.5, None]},
    "rows": {"train": 10, "val": 10, "test": 20},
    "decoding": {"temperature": 0.5, "stop": ["\n"], "closed": "scored"},
    "w": {"rank": 8, "learning_rate": 0.0002, "target_modules": ["q_proj"], "force": True, "batch_size": 8},
    "engine": {"timeout": 30.0, "retries": 2, "gpu_memory": 0.5},
}
CONFIG_YAML = """\
# settings
task: iris
seed: 3
rows: &sizes {train: 10, val: 10}
decoding:
  temperature: 0.5
  stop: ["\\n", 'x']
w:
  rank: 8
  learning_rate: 2.0e-4
  target_modules:
    - q_proj
    - v_proj
  force: true
task_settings:
  sizes: *sizes
  date: 2024-01-05
  text: |
    two
    lines
"""
PROFILE_YAML = (ROOT / "docs" / "profiles" / "gpu.yaml").read_text(encoding="utf-8")
PROFILE = {
    "image": "registry/bt:1",
    "secrets": [{"name": "aws", "env": {"AWS_ACCESS_KEY_ID": "id"}}],
    "model_cache": {"claim": "models", "path": "/models"},
    "timeout": "12h",
    "every_stage": {"cpu": {"request": "500m", "limit": 2}, "memory": {"request": "1Gi", "limit": "2Gi"}},
    "model_stages": {
        "accelerator": {"count": 1},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "retries": {"count": 2, "backoff": "30s", "factor": 2},
    },
    "stages": {"evaluate": {"env": {"A": "b"}, "node_selector": {"disk": "ssd"}, "timeout": 90}},
}
CRONS = ("0 0 2 * * *", "0 */5 1-3 1,15 jan-jun mon", "? 59/2 23 31 12 0-6")
ROWS = [{"text": "it's", "label": "a", "n": 1}, {"text": "two\u2028", "label": "b", "n": 2.5, "more": [{"x": None}]}]
CSV = 'text,label,n\n"it\'s, well",a,1\ntwo,b,2.5\n"three ""quoted""",a,\n'
ADAPTER_CONFIG = {"r": 8, "revision": "abc", "base_model_name_or_path": "m", "target_modules": ["q_proj"], "x": None}
CURVE = {
    "loss": [[1, 2.5], [2, 1.5]],
    "val_loss": [[1, 2.0]],
    "best_epoch": 1,
    "tokens": 100,
    "seconds": 2.5,
    "micro_batch": 8,
    "adapter_sha256": _adapter_sha256(),
}
ARGUMENTS = {
    "command": "bt sweep --task iris",
    "parameters": {"task": "iris", "config": json.dumps(CONFIG), "margin": 0.03},
    "run_id": "sweep-1",
}
COMPILED = (ROOT / "tests" / "pipelines" / "golden" / "p.yaml").read_text(encoding="utf-8")
