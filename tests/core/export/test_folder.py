"""What an exported folder holds, and that DSPy, PEFT and KServe's schema take it."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from bt_core.config import resolve_config
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.errors import ConfigError, DataError, ProgramError
from bt_core.export import Wishes, export
from bt_core.formats.rows import Answer, ComparedRow, write_results
from bt_core.lm.runner import Runner
from bt_core.models import BaseModel
from bt_core.models.published import HubModel, on_hub, parse_hub_model
from bt_core.program import program_sha256, read_program, write_program
from bt_core.steps.predict import predict
from bt_core.yaml_text import read_yaml
from tests.core import toy
from tests.core.export.alone import python_alone, serve
from tests.core.models.hub_server import COMMIT, NAME, hub_server
from tests.core.programs import finished

TASK = "tests.core.toy:task"
BASE = HubModel(NAME, COMMIT)
MINE = {"task": TASK}


@pytest.fixture(scope="module")
def program(tiny_model: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("program"), toy.task, TASK, tiny_model)


@pytest.fixture(scope="module")
def exported(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "toy"
    export(program, folder, Wishes(BASE, with_base=True, adapters="s3://models/toy/1"), MINE)
    return folder


def test_a_users_program_answers_as_predict_does(
    program: Path, tiny_engine: TransformersEngine, tiny_folder: Path, tmp_path: Path
) -> None:
    rows = [{"thing": row["thing"]} for row in toy.rows()[:20]]
    config = resolve_config(toy.SMALL, {"task": TASK, "decoding": {"calibration": "train"}})
    runner = Runner(toy.task, config, tiny_engine, program)
    (calibrated,) = runner.calibrate([read_program(program)], rows)
    write_program(calibrated, tmp_path / "program", {"adapter": program / "adapter"})
    export(tmp_path / "program", tmp_path / "out", Wishes(BASE), MINE)
    expected = [predict(tmp_path / "program", row, MINE, tiny_engine) for row in rows]
    assert len({str(answer) for answer in expected}) > 1
    assert serve(tmp_path / "out", rows, tiny_folder) == expected


def test_dspy_and_peft_load_the_parts(exported: Path, tmp_path: Path) -> None:
    code = """
import json
from peft import AutoPeftModelForCausalLM
from program import make_adapter, make_program

program = make_program()
program.load("state.json")
model = AutoPeftModelForCausalLM.from_pretrained("adapters/adapter")
found = {
    "demos": program.shade.demos,
    "instructions": program.paint.signature.instructions,
    "adapter": type(make_adapter()).__name__,
    "base": model.get_base_model().config.num_hidden_layers,
    "lora": sum("lora_A" in name for name, _ in model.named_parameters()),
}
print(json.dumps(found))
"""
    with hub_server(exported / "base") as hub:
        env = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hub")}
        found = json.loads(python_alone(exported, code, env=env))
        assert any(COMMIT in path for path in hub.asked)
    assert found == {
        "demos": [{"thing": "sky", "dark": False}],
        "instructions": "Name the colour of the thing.",
        "adapter": "LineAdapter",
        "base": 2,
        "lora": 4,
    }


def test_no_file_holds_a_path_of_this_machine(exported: Path, program: Path, tiny_folder: Path) -> None:
    private = {str(program), str(tiny_folder), str(Path.cwd()), str(Path.home()) + "/", "/tmp/"}
    for path in exported.rglob("*"):
        if path.suffix in {".py", ".json", ".md", ".txt", ".yaml"} and path.parent.name != "base":
            text = path.read_text(encoding="utf-8")
            assert not [place for place in private if place in text], path
    assert not list(exported.rglob("*.pkl"))


def test_serve_is_short(exported: Path) -> None:
    assert len((exported / "serve.py").read_text(encoding="utf-8").splitlines()) < 60
    for name in ("serve.py", "program.py", "answering.py"):
        assert not re.search(r"^\s*(?:from|import) bt_", (exported / name).read_text("utf-8"), re.MULTILINE)


def test_the_adapter_is_the_programs_on_the_hubs_base(exported: Path, program: Path) -> None:
    config = json.loads((exported / "adapters/adapter/adapter_config.json").read_text("utf-8"))
    assert (config["base_model_name_or_path"], config["revision"]) == (NAME, COMMIT)
    weights = "adapter/adapter_model.safetensors"
    assert (exported / "adapters" / weights).read_bytes() == (program / weights).read_bytes()


def test_the_page_has_the_commands_and_the_prompts(exported: Path) -> None:
    page = (exported / "README.md").read_text("utf-8")
    assert "python serve.py thing=...\n" in page
    assert f"vllm serve base --served-model-name {NAME} --generation-config vllm \\\n    --enable-lora" in page
    assert "--max-lora-rank 8 --lora-modules adapter=adapters/adapter\n" in page
    assert "[user]\nThing: sky\n[assistant]\nFalse\n[user]\nThing: {thing}\n" in page
    assert '`paint`, on adapter `adapter`, answers ["red", "green", "blue"]:' in page
    assert "No test score came with the program." in page


def test_the_requirements_are_what_is_imported(exported: Path) -> None:
    lines = (exported / "requirements.txt").read_text("utf-8").splitlines()
    names = {line.partition("==")[0].replace("_", "-").lower() for line in lines}
    assert names == {
        "dspy",
        "httpx",
        "huggingface-hub",
        "jinja2",
        "peft",
        "pydantic",
        "pydantic-core",
        "torch",
        "transformers",
    }
    assert all(re.fullmatch(r"[\w-]+==[\w.+]+", line) for line in lines)


def test_dspys_own_format_travels_too(tiny_model: BaseModel, tmp_path: Path) -> None:
    program = finished(tmp_path, toy.chat, "tests.core.toy:chat", tiny_model)
    export(program, tmp_path / "out", Wishes(BASE), {"task": "tests.core.toy:chat"})
    assert "\nmake_adapter = chat_format\n" in (tmp_path / "out/program.py").read_text("utf-8")
    assert "`ChatAdapter` writes the messages" in (tmp_path / "out/README.md").read_text("utf-8")


# ------------------------------------------------------------------------------------------------ test score


def _result(program: Path, folder: Path, sha256: str) -> Path:
    answer = {True: Answer(score=1.0, prediction={}, error=None), False: Answer(score=0.0, prediction={}, error=None)}
    rows = [
        ComparedRow(example=str(n), row={}, group=None, vanilla=answer[n < 10], final=answer[n < 30]) for n in range(40)
    ]
    write_results(folder / "results.jsonl", rows)
    difference = {"mean": 0.5, "ci95": [0.3, 0.65], "p_value": 0.0001, "method": "mcnemar", "better": 20, "worse": 0}
    tokens = {"vanilla": 1.0, "final": 1.0}
    test = {"vanilla": 0.25, "final": 0.75, "rows": 40, "prompt_tokens_per_example": tokens}
    value: dict[str, Any] = {"strategy": "p", "task": TASK, "seed": 0, "steps": []}
    value |= {"test": test | {"difference": difference | {"groups": 40, "is_same": False}}, "program": str(program)}
    value |= {"program_sha256": sha256, "shipped": "1.p", "seconds": 1.0, "warnings": [], "mlflow": {}, "config": {}}
    (folder / "result.json").write_text(json.dumps(value), encoding="utf-8")
    return folder / "result.json"


def test_the_test_score_comes_with_its_interval(program: Path, tmp_path: Path) -> None:
    result = _result(program, tmp_path, program_sha256(program))
    export(program, tmp_path / "out", Wishes(BASE, result=result), MINE)
    page = (tmp_path / "out/README.md").read_text("utf-8")
    assert "Test score: 0.750 on 40 sealed test rows (95% interval 0.588 to 0.873), which chose nothing." in page
    assert "difference +0.500 (95% interval +0.300 to +0.650)" in page


def test_another_programs_score_is_refused(program: Path, tmp_path: Path) -> None:
    result = _result(program, tmp_path, "0" * 64)
    with pytest.raises(DataError, match=r"result\.json has no test score of the program .*: name the result\.json of"):
        export(program, tmp_path / "out", Wishes(BASE, result=result), MINE)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


# ------------------------------------------------------------------------------------------------ refusals


def test_a_base_model_that_others_lack_is_named(program: Path, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=rf"is the folder {tiny_folder}, which others do not have: name it on the hub"
    ):
        export(program, tmp_path / "out", overrides=MINE)
    with pytest.raises(ConfigError, match=r"^The base model 'acme/tiny' is no id and revision of the hub: write ORG"):
        parse_hub_model("acme/tiny")
    assert parse_hub_model("acme/tiny@main") == HubModel("acme/tiny", "main")


def test_which_models_are_on_the_hub() -> None:
    assert on_hub("acme/tiny", "c" * 40) == HubModel("acme/tiny", "c" * 40)
    assert on_hub("models/tiny", "c" * 64) is None  # a folder's revision is a sha256
    assert on_hub("s3://models/tiny", "c" * 64) is None
    embedded = on_hub("smollm2-135m-instruct", "c" * 64)
    assert embedded is not None
    assert (embedded.id, embedded.is_copy) == ("HuggingFaceTB/SmolLM2-135M-Instruct", False)


def test_a_folder_that_holds_something_stays(program: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/letter").write_text("dear")
    with pytest.raises(ProgramError, match=r"out already holds something: export to another folder, it"):
        export(program, tmp_path / "out", Wishes(BASE), MINE)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "letter"]


# ------------------------------------------------------------------------------------------------ Kubernetes


def test_the_manifest_keeps_kserves_rules(exported: Path) -> None:
    """The keys and rules as KServe has them: config/crd/full/llmisvc and llm_inference_service_validation.go."""
    manifest = read_yaml((exported / "llminferenceservice.yaml").read_text("utf-8"))
    assert manifest.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert (manifest["apiVersion"], manifest["kind"]) == ("serving.kserve.io/v1alpha2", "LLMInferenceService")
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", manifest["metadata"]["name"])
    spec = manifest["spec"]
    assert spec.keys() <= {"model", "replicas", "router"}  # replicas exclude `scaling`
    model = spec["model"]
    assert model.keys() <= {"uri", "name", "lora"}
    assert model["uri"] == f"hf://{NAME}:{COMMIT}"
    assert model["lora"].keys() <= {"maxRank", "adapters"}
    assert model["lora"]["maxRank"] >= 1
    assert model["lora"]["adapters"] == [{"name": "adapter", "uri": "s3://models/toy/1/adapter"}]
    assert model["name"] not in {adapter["name"] for adapter in model["lora"]["adapters"]}


def test_adapters_outside_of_s3_are_refused(program: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^The adapters' place '/models' is none in S3: write s3://bucket/prefix\.$"):
        export(program, tmp_path / "out", Wishes(BASE, adapters="/models"), MINE)
