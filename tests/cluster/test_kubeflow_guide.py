"""docs/kubeflow.md: every command is run here or marked as one that needs a cluster; every key is explained."""

import re
import shlex
from pathlib import Path

import pytest
from pydantic import BaseModel

from bt_pipelines.pods import pod_settings, profile
from tests.cli.conftest import Bt
from tests.cluster.kubeflow.server import ApiServer

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "kubeflow.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```([^\n]*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def test_every_block_says_what_it_is() -> None:
    assert {kind for kind, _ in BLOCKS} <= {"bash runnable", "bash cluster", "yaml", "dockerfile", "text"}
    outside = [line for kind, block in BLOCKS if kind != "bash runnable" for line in block.splitlines()]
    assert not [line for line in outside if line.startswith("bt ")], "a command of ours can be run"


def test_commands_run_in_their_order(server: ApiServer, bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "gpu.yaml").write_text((DOCS / "profiles" / "gpu.yaml").read_text(encoding="utf-8"))
    commands = [line for kind, block in BLOCKS if kind == "bash runnable" for line in block.splitlines()]
    assert len(commands) > 8
    for command in commands:
        program, *arguments = shlex.split(command)
        ended = bt(*arguments)
        assert (program, ended.status, command) == ("bt", 0, command), ended.err
    versions = [one.name.rpartition("-")[0] for one in server.state.versions.values()]
    assert versions == ["p-w", "p-w-p", "sweep", "p-w", "retrain"], "the scheduled one reads its data again"
    assert [one.state for one in server.state.runs.values()] == ["SUCCEEDED", "SUCCEEDED"]
    (left,) = server.state.schedules.values()
    assert (left.display_name, left.trigger.cron_schedule.cron) == ("triage-retrain", "0 0 3 * * SUN")


def test_profiles_in_the_guide_are_ones(tmp_path: Path) -> None:
    examples = [block for kind, block in BLOCKS if kind == "yaml"]
    examples += [path.read_text(encoding="utf-8") for path in DOCS.glob("profiles/*.yaml")]
    assert len(examples) == 3
    for text in examples:
        (tmp_path / "profile.yaml").write_text(text)
        assert profile.read_profile(tmp_path / "profile.yaml").image


MODELS = [
    profile.Profile,
    *(pod_settings.PodSettings, pod_settings.CpuAmount, pod_settings.Accelerator, pod_settings.Toleration),
    *(pod_settings.Retries, profile.FromCluster, profile.ModelCache),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_explained(model: type[BaseModel]) -> None:
    assert [key for key in model.model_fields if f"`{key}`" not in TEXT] == []


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert [one for one in targets if not (DOCS / one).exists()] == []
