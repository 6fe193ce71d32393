"""From bare to a program in use: our image built, `p -> w` run in containers of it, published to S3, asked for answers.

Daemon, S3, MLflow and containers share a network that holds nothing but a loopback interface.
"""

import hashlib
import json
import random
import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from bt_core.errors import UserError, WorldError
from bt_core.formats.run_result import RunResult
from bt_core.models.embedded import EMBEDDED_GGUF
from bt_core.program import program_sha256, read_program
from bt_core.records import read_jsonl
from bt_core.user_wheel import WHEEL_VARIABLE
from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_strategy
from bt_runner.containers import Containers
from bt_runner.events import Event, LocalRun, TaskOutput
from bt_runner.run import run_locally
from bt_tracking.connection import RetryingClient
from bt_tracking.server import free_port, start_server
from bt_tracking.settings import TrackingSettings
from tests.core import conftest as core
from tests.core import toy
from tests.docker import daemon, sleepy
from tests.docker.loopback import only_loopback
from tests.pipelines.tiny import IMAGE as COMPILED_IMAGE
from tests.pipelines.tiny import compiled
from tests.s3 import Server, s3_server
from tests.user_project import write_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

embedded_model, tiny_folder = core.embedded_model, core.tiny_folder

IMAGE = "bettertogether-python:of-the-tests"
PROGRAM = "s3://data/programs/toy/1"
SETTINGS = {
    "decoding": {"calibration": "none"},
    "p": {"candidates": 1, "max_demos": 2},
    "w": {"epochs": 1, "min_traces": 1, "rank": 2},
    "select": "last",
}
STAGES = ["prepare", "1.bootstrap", "1.p", "2.bootstrap", "2.w", "evaluate", "register"]
#: The user's code in the working directory of an image, where Python looks first.
IN_WORKING_DIRECTORY = f"""
FROM {IMAGE}
COPY --chmod=755 . .
"""


@dataclass(frozen=True)
class Stack:
    """What runs while these tests do."""

    folder: Path
    address: str
    client: docker.DockerClient
    s3: Server
    mlflow: str
    model: Path
    wheel: str
    user: int

    @property
    def environment(self) -> dict[str, str]:
        tracked = {"MLFLOW_TRACKING_URI": self.mlflow, "BT_RUN_ID": "in-containers", "BT_STRATEGY": "p-w"}
        return self.s3.environment | tracked | {WHEEL_VARIABLE: self.wheel}

    def run(self, pipeline: Path, root: str, parameters: dict[str, Any], **more: Any) -> LocalRun:
        containers = Containers(user=self.user, folders=[self.model])
        environment = self.environment | more.pop("environment", {})
        return run_locally(pipeline, self.folder / root, parameters, environment, containers=containers, **more)

    def bt(self, *arguments: str) -> str:
        """The output of a command in a container of its own."""
        shared = {str(folder): {"bind": str(folder), "mode": "ro"} for folder in (self.folder, self.model)}
        surroundings = {"environment": self.environment, "network_mode": "host", "user": f"{self.user}:0"}
        done = self.client.containers.run(IMAGE, list(arguments), remove=True, volumes=shared, **surroundings)
        return bytes(done).decode()


@pytest.fixture(scope="module")
def stack(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    daemon.require()
    folder = tmp_path_factory.mktemp("containers")
    project, model = folder / "toy", folder / "model"
    write_project(project, "toy")
    shutil.copytree(tiny_folder, model)
    for readable in (folder, model):
        readable.chmod(0o755)
    for file in model.iterdir():
        file.chmod(0o644)
    ingredients = daemon.gather(folder, project)
    mlflow_folder = folder / "mlflow"
    with pytest.MonkeyPatch.context() as patch, only_loopback(), daemon.daemon() as address:
        patch.setenv("DOCKER_HOST", address)
        server = start_server(mlflow_folder, free_port(preferred=0))
        try:
            daemon.build(address, ingredients, "Dockerfile.cpu", IMAGE, folder)
            server.wait_until_ready()
            with s3_server(folder / "s3") as s3, closing(docker.from_env()) as client:
                wheel = _store_wheel(s3, next(ingredients.wheels.glob("toy-*.whl")))
                user = random.SystemRandom().randrange(20_000, 60_000)
                yield Stack(folder, address, client, s3, server.url, model, wheel, user)
                assert client.containers.list(all=True) == [], "a container was left behind"
        finally:
            server.stop()
            shutil.rmtree(ingredients.wheels)


def _store_wheel(s3: Server, wheel: Path) -> str:
    rows = "".join(json.dumps(row) + "\n" for row in toy.rows())
    s3.client.put_object(Bucket="data", Key="rows.jsonl", Body=rows.encode())
    s3.client.put_object(Bucket="data", Key=f"wheels/{wheel.name}", Body=wheel.read_bytes())
    return f"s3://data/wheels/{wheel.name}#sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}"


@pytest.fixture(scope="module")
def pipeline(stack: Stack) -> Path:
    """`p -> w` as it would be uploaded."""
    return compile_strategy(("p", "w"), stack.folder / "p-w.yaml", Options(image=IMAGE))


@pytest.fixture(scope="module")
def done(stack: Stack, pipeline: Path) -> LocalRun:
    """`p -> w`, with its rows and its task's code from S3, recorded in MLflow."""
    parameters = {"task": "toy:task", "seed": 3, "model": str(stack.model), "data": "s3://data/rows.jsonl"}
    return stack.run(pipeline, "root", parameters | {"config": json.dumps(SETTINGS)})


def test_the_image_says_what_it_is(stack: Stack) -> None:
    config = stack.client.images.get(IMAGE).attrs["Config"]
    assert config["User"] == "1001:0"
    assert config["Labels"]["org.opencontainers.image.revision"] == "of-the-tests"
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert stack.bt(*config["Healthcheck"]["Test"][1:]) == ""


def test_the_history_does_not_name_the_index_that_torch_came_from(stack: Stack) -> None:
    history = [layer["CreatedBy"] for layer in stack.client.images.get(IMAGE).history()]
    assert any("constraints.txt" in command for command in history)
    assert not any("TORCH_INDEX" in command for command in history)


def test_any_user_has_a_home_and_only_that(stack: Stack) -> None:
    probe = "id -u; touch ~/it ~/.cache/it; touch /opt/bt/it 2> /dev/null || echo refused; tail -n +3 /proc/net/dev"
    user, refused, interface = stack.bt("sh", "-c", probe).splitlines()
    assert (user, refused) == (str(stack.user), "refused")
    assert interface.split(":")[0].strip() == "lo"


def test_the_embedded_model_is_in_the_image(stack: Stack) -> None:
    probe = "from bt_core.models import embedded; print(embedded.installed())"
    assert Path(stack.bt("python", "-c", probe).strip()).name == EMBEDDED_GGUF


def test_every_stage_left_its_outputs(stack: Stack, done: LocalRun) -> None:
    stages = [report.stage for task in done.tasks.values() for report in task.reports]
    assert sorted(stages) == sorted(STAGES)
    assert (stages[0], stages[-2:]) == (STAGES[0], STAGES[-2:])
    paths = [path for task in done.tasks.values() for path in task.artifacts.values()]
    assert len(paths) > len(STAGES)
    assert {path.stat().st_uid for path in paths} == {stack.user}


def test_the_program_is_the_outcome_of_both_steps(done: LocalRun) -> None:
    tasks = done.tasks
    first, second = tasks["1.p"].artifacts["optimised"], tasks["2.w"].artifacts["optimised"]
    shipped = tasks["evaluate"].artifacts["results"] / "program"
    program = read_program(shipped, verify=True)
    assert program.adapters
    assert [(step.kind, step.parent) for step in program.lineage] == [
        ("p", program_sha256(tasks["prepare-data"].artifacts["program"])),
        ("w", program_sha256(first)),
    ]
    assert program_sha256(shipped) == program_sha256(second)
    assert program_sha256(first) != program_sha256(second)


def test_the_result_agrees_with_the_rows(done: LocalRun) -> None:
    results = done.tasks["evaluate"].artifacts["results"]
    result = RunResult.read(results / "result.json").content()
    rows = read_jsonl(results / "results.jsonl")
    assert len(rows) == result["test"]["rows"] == toy.SMALL["rows"]["test"]
    for name in ("vanilla", "final"):
        assert sum(row[name]["score"] for row in rows) / len(rows) == pytest.approx(result["test"][name])


def test_mlflow_has_the_run_its_stages_and_the_adapter(stack: Stack, done: LocalRun, tmp_path: Path) -> None:
    client = RetryingClient(TrackingSettings(stack.mlflow))
    found = client.search_runs([one.experiment_id for one in client.search_experiments()])
    stages = {run.data.tags["stage"]: run for run in found}
    assert stages.keys() == {*STAGES, "pipeline"}
    assert {run.info.status for run in found} == {"FINISHED"}
    measured = done.tasks["evaluate"].reports[0].metrics["test/final"]
    assert stages["pipeline"].data.metrics["test/final"] == pytest.approx(measured)
    logged = client.download_artifacts(stages["2.w"].info.run_id, "", str(tmp_path))
    (weights,) = Path(logged).rglob("adapter_model.safetensors")
    made = done.tasks["2.w"].artifacts["optimised"] / "adapter" / "adapter_model.safetensors"
    assert weights.read_bytes() == made.read_bytes()


def test_the_program_is_published_and_used_from_there(stack: Stack, done: LocalRun) -> None:
    program = done.tasks["evaluate"].artifacts["results"] / "program"
    published = json.loads(stack.bt("bt", "publish", str(program), PROGRAM, "--json"))
    assert published["program_sha256"] == program_sha256(program)
    keys = {item["Key"] for item in stack.s3.client.list_objects_v2(Bucket="data", Prefix="programs/")["Contents"]}
    assert {"programs/toy/1/program.json", "programs/toy/1/adapter/adapter_model.safetensors"} <= keys
    asked = ["--task", "toy:task", "thing=big sky", "--json"]
    answer = json.loads(stack.bt("bt", "predict", PROGRAM, *asked))
    assert answer == json.loads(stack.bt("bt", "predict", str(program), *asked))
    assert answer["colour"] in ("red", "green", "blue")


def test_an_image_from_ours_as_documented(stack: Stack, tmp_path: Path) -> None:
    (documented,) = re.findall(r"```dockerfile\n(.+?)```", (daemon.ROOT / "docs" / "images.md").read_text(), re.DOTALL)
    (tmp_path / "Dockerfile").write_text(re.sub("(?m)^FROM .+$", f"FROM {IMAGE}", documented))
    (tmp_path / "dist").mkdir()
    shutil.copy(next((stack.folder / "wheels").glob("toy-*.whl")), tmp_path / "dist")
    daemon.docker_command(stack.address, "build", "--network=host", "--tag", "toy-python:1", tmp_path)
    shown = stack.client.containers.run(
        "toy-python:1", ["python", "-c", "import toy; print(toy.task.name)"], remove=True
    )
    assert shown == b"toy\n"


def test_an_image_whose_working_directory_holds_the_users_folders(stack: Stack, tmp_path: Path) -> None:
    write_project(tmp_path, "toy")
    (tmp_path / "Dockerfile").write_text(IN_WORKING_DIRECTORY)
    daemon.docker_command(stack.address, "build", "--network=host", "--tag", "folders-python:1", tmp_path)
    pipeline = compile_strategy(("p",), stack.folder / "folders.yaml", Options(image="folders-python:1"))
    parameters = {"task": "toy", "seed": 3, "model": str(stack.model), "config": json.dumps(SETTINGS)}
    run = stack.run(pipeline, "folders", parameters, environment={WHEEL_VARIABLE: ""})
    assert read_program(run.tasks["evaluate"].artifacts["results"] / "program").task == "toy"


def test_a_users_mistake_is_one_sentence(stack: Stack, pipeline: Path) -> None:
    with pytest.raises(UserError, match=r"The task `no_such_task` was not found"):
        stack.run(pipeline, "mistake", {"task": "no_such_task"})


def test_another_wheel_than_the_one_named_is_not_used(stack: Stack, pipeline: Path) -> None:
    wrong = {WHEEL_VARIABLE: stack.wheel[:-64] + "0" * 64}
    with pytest.raises(UserError, match=r"has sha256 [0-9a-f]{12}\.\.\., but BT_WHEEL says 000000000000\.\.\."):
        stack.run(pipeline, "wheel", {"task": "toy:task"}, environment=wrong)


def test_an_image_that_is_not_there(stack: Stack, tmp_path: Path) -> None:
    absent = compile_strategy(("p",), tmp_path / "p.yaml", Options(image="localhost:1/absent-python:1"))
    with pytest.raises(WorldError, match=r"The image localhost:1/absent-python:1 cannot be run"):
        stack.run(absent, "absent", {"task": "toy:task"})


@pytest.fixture
def asleep(stack: Stack, tmp_path: Path) -> Path:
    pipeline = compiled(sleepy.sleepy, tmp_path)
    pipeline.write_text(pipeline.read_text().replace(COMPILED_IMAGE, IMAGE))
    return pipeline


def test_a_container_that_is_taken_away_did_not_succeed(stack: Stack, asleep: Path) -> None:
    def take_away(event: Event) -> None:
        if isinstance(event, TaskOutput) and "asleep" in event.line:
            (container,) = stack.client.containers.list()
            container.remove(force=True)

    with pytest.raises(WorldError):
        stack.run(asleep, "taken", {}, on_event=take_away)


def test_a_run_that_is_interrupted_leaves_no_container(stack: Stack, asleep: Path) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, TaskOutput) and "asleep" in event.line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stack.run(asleep, "interrupted", {}, on_event=interrupt)
    assert stack.client.containers.list(all=True) == []
