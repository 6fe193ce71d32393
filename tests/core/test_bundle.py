"""Bundles: published whole or not at all, one program for ever, verified when they are read; and models in S3."""

import json
import re
import runpy
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM

from bt_core.bundle import MANIFEST_FILE, Manifest, Published, fetch, find_manifest, publish
from bt_core.bundle.card import model_card
from bt_core.errors import DataError, ModelError, ProgramError, WorldError
from bt_core.models import BaseModel, resolve_model
from bt_core.program import program_sha256, read_program
from bt_core.storage import PATIENCE_VARIABLE, Store
from tests.core import toy
from tests.core.programs import finished
from tests.faults import proxy_to
from tests.s3 import Server, use

TASK = "tests.core.toy:task"
publish_module = sys.modules[publish.__module__]


@pytest.fixture(scope="module")
def programs(tiny_model: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("programs")
    return finished(folder, toy.task, TASK, tiny_model), finished(folder, toy.task, TASK, tiny_model, seed=1)


@pytest.fixture(autouse=True)
def own_place(s3: Server, tiny_model: BaseModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A store that is asked once, and an empty cache of models and programs."""
    use(monkeypatch, s3.endpoint)
    monkeypatch.setenv(PATIENCE_VARIABLE, "0")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("BT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=["s3", "folder"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place in S3 or on this machine where nothing is yet."""
    return f"s3://data/{tmp_path.name}/bundle" if request.param == "s3" else str(tmp_path / "bundle")


def _bytes(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# ------------------------------------------------------------------------------------------------ published


def test_what_is_fetched_is_what_was_published(programs: tuple[Path, Path], target: str) -> None:
    done = publish(programs[0], target)
    assert done == Published(target, program_sha256(programs[0]), done.files, is_new=True)
    folder = fetch(target)
    found, original = _bytes(folder), _bytes(programs[0])
    assert original.items() <= found.items()
    assert found.keys() - original.keys() == {"README.md", MANIFEST_FILE}
    assert set(done.files) == found.keys() - {MANIFEST_FILE}
    assert read_program(folder) == read_program(programs[0])
    assert find_manifest(target) == Manifest.of(folder)


def test_the_same_program_again_changes_nothing(programs: tuple[Path, Path], target: str) -> None:
    publish(programs[0], target)
    before = _bytes(fetch(target))
    again = publish(programs[0], target)
    assert (again.is_new, again.program_sha256) == (False, program_sha256(programs[0]))
    with pytest.raises(ProgramError, match=f"^{target} already holds the program {again.program_sha256[:12]}: publish"):
        publish(programs[1], target)
    assert _bytes(fetch(target)) == before


def test_a_place_that_holds_something_else_is_left_alone(
    programs: tuple[Path, Path], s3: Server, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter").write_text("dear")
    with pytest.raises(ProgramError, match=r"already holds something else: publish to another place"):
        publish(programs[0], str(tmp_path / "taken"))
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    s3.client.put_object(Bucket="data", Key=f"{tmp_path.name}/program.json", Body=b"{}")
    with pytest.raises(ProgramError, match=r"already holds another program\.json: publish to another place"):
        publish(programs[0], f"s3://data/{tmp_path.name}")


@pytest.mark.parametrize("answered", [1, 2, 5])
def test_a_half_published_program_is_none(
    answered: int, programs: tuple[Path, Path], s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store goes away after some of the six requests: a look for a manifest, five files."""
    target = f"s3://data/{tmp_path.name}"
    with proxy_to(s3.endpoint) as proxy:
        use(monkeypatch, proxy.endpoint)
        proxy.faults, proxy.always = ["none"] * answered, "busy"
        with pytest.raises(WorldError, match=f"^{target}/.* cannot be written, the store failed"):
            publish(programs[0], target)
    use(monkeypatch, s3.endpoint)
    assert len(Store().list(target)) == answered - 1
    with pytest.raises(ProgramError, match=f"^{target} holds no whole bundle"):
        fetch(target)
    if answered > 1:
        with pytest.raises(ProgramError, match=r"already holds another program\.json"):
            publish(programs[1], target)
    assert publish(programs[0], target).is_new
    assert read_program(fetch(target)) == read_program(programs[0])


def test_a_half_published_program_that_is_lost_makes_room_for_another(
    programs: tuple[Path, Path],
    s3: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Once nobody has written there for a while; and never what another program than ours has put there."""
    target = f"s3://data/{tmp_path.name}"
    with proxy_to(s3.endpoint) as proxy:
        use(monkeypatch, proxy.endpoint)
        proxy.faults, proxy.always = ["none"] * 4, "busy"
        with pytest.raises(WorldError):
            publish(programs[0], target)
    use(monkeypatch, s3.endpoint)
    with pytest.raises(ProgramError, match=r"already holds another program\.json: .* 15 minutes after its last file"):
        publish(programs[1], target)
    monkeypatch.setattr(publish_module, "ABANDONED_SECONDS", 0)
    assert publish(programs[1], target).is_new
    warning = (
        f"warning: {target} holds a part of another publication, which was never finished: its files are replaced."
    )
    assert capsys.readouterr().err.splitlines() == [warning]
    assert read_program(fetch(target)) == read_program(programs[1])
    with pytest.raises(ProgramError, match=f"already holds the program {program_sha256(programs[1])[:12]}"):
        publish(programs[0], target)

    s3.client.put_object(Bucket="data", Key=f"{tmp_path.name}-other/program.json", Body=b"of a person")
    with pytest.raises(ProgramError, match=r"already holds another program\.json"):
        publish(programs[0], f"{target}-other")


def test_a_publisher_that_was_overtaken_finishes_nothing(
    programs: tuple[Path, Path], s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two replace the same leftovers: the one whose program file was replaced does not write the manifest."""
    target, upload = f"s3://data/{tmp_path.name}", Store.upload
    Store().write_bytes(b"{}", f"{target}/program.json")
    monkeypatch.setattr(publish_module, "ABANDONED_SECONDS", 0)

    def overtaken(self: Store, path: Path, address: str, **conditions: Any) -> str:
        written = upload(self, path, address, **conditions)
        if path.name == "adapter_config.json":
            self.write_bytes(b"of the other one", f"{target}/program.json")
        return written

    monkeypatch.setattr(Store, "upload", overtaken)
    with pytest.raises(ProgramError, match=r"already holds another program\.json"):
        publish(programs[0], target)
    assert find_manifest(target) is None


def test_of_two_publishers_at_once_one_wins(programs: tuple[Path, Path], target: str) -> None:
    start, outcomes = threading.Barrier(4), []

    def run(program: Path) -> None:
        start.wait()
        try:
            outcomes.append(publish(program, target).program_sha256)
        except ProgramError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=run, args=(program,)) for program in programs * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winner = program_sha256(fetch(target))
    assert len(outcomes) == 4
    assert winner in outcomes
    assert all(outcome == winner or "already holds" in outcome for outcome in outcomes)
    assert read_program(fetch(target)).task == TASK


# ------------------------------------------------------------------------------------------------ read


def _flip(folder: Path, s3: Server, prefix: str) -> None:
    weights = (folder / "adapter" / "adapter_model.safetensors").read_bytes()
    other = weights[:-1] + bytes([weights[-1] ^ 1])
    s3.client.put_object(Bucket="data", Key=f"{prefix}/adapter/adapter_model.safetensors", Body=other)


def _remove(folder: Path, s3: Server, prefix: str) -> None:
    s3.client.delete_object(Bucket="data", Key=f"{prefix}/adapter/adapter_config.json")


def _outside(folder: Path, s3: Server, prefix: str) -> None:
    manifest = Manifest.of(folder)
    entry = next(iter(manifest.files.values()))
    text = Manifest(manifest.program_sha256, {**manifest.files, "../escaped": entry}).dump()
    s3.client.put_object(Bucket="data", Key=f"{prefix}/{MANIFEST_FILE}", Body=text.encode())


def _newer(folder: Path, s3: Server, prefix: str) -> None:
    value = json.loads(Manifest.of(folder).dump()) | {"schema_version": 2}
    s3.client.put_object(Bucket="data", Key=f"{prefix}/{MANIFEST_FILE}", Body=json.dumps(value).encode())


def _garbage(folder: Path, s3: Server, prefix: str) -> None:
    s3.client.put_object(Bucket="data", Key=f"{prefix}/{MANIFEST_FILE}", Body=b"\xff{}")


@pytest.mark.parametrize("name", ["../side", "a/../../side", "/etc/passwd", "..", "", "a//b", "a\\b", "./a"])
def test_a_manifest_that_names_a_file_outside_is_refused(
    name: str, programs: tuple[Path, Path], tmp_path: Path
) -> None:
    publish(programs[0], str(tmp_path / "bundle"))
    content = json.loads((tmp_path / "bundle" / MANIFEST_FILE).read_text())
    content["files"][name] = content["files"]["program.json"]
    (tmp_path / "bundle" / MANIFEST_FILE).write_text(json.dumps(content))
    with pytest.raises(
        ProgramError, match=r"manifest\.json is damaged \(.* should be a relative path inside the folder"
    ):
        find_manifest(str(tmp_path / "bundle"))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"size": ', '"size": -', r"`files\..*\.size` is -\d+ and should be greater than or equal to 0"),
        ('"size": ', '"size": 0, "size": ', r"broken JSON: the key 'size' is there twice"),
        ('"schema_version"', '"colour": 1, "schema_version"', "`colour` is unknown"),
        ('"program.json"', '"other.json"', r"it names another program\.json than the bundle's program"),
    ],
    ids=["size", "key-twice", "unknown", "no-program"],
)
def test_a_wrong_manifest_is_refused(
    old: str, new: str, reason: str, programs: tuple[Path, Path], tmp_path: Path
) -> None:
    publish(programs[0], str(tmp_path / "bundle"))
    path = tmp_path / "bundle" / MANIFEST_FILE
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ProgramError, match=rf"manifest\.json is damaged \({reason}"):
        find_manifest(str(tmp_path / "bundle"))


def test_a_file_of_a_bundle_that_is_a_link_out_of_it_is_refused(programs: tuple[Path, Path], tmp_path: Path) -> None:
    publish(programs[0], str(tmp_path / "bundle"))
    (tmp_path / "bundle" / "README.md").rename(tmp_path / "card.md")
    (tmp_path / "bundle" / "README.md").symlink_to(tmp_path / "card.md")
    with pytest.raises(ProgramError, match=r"README\.md is a symbolic link that leads out of"):
        fetch(str(tmp_path / "bundle"))


@pytest.mark.parametrize(
    ("damage", "error", "sentence"),
    [
        (_flip, ProgramError, r"adapter_model\.safetensors has sha256 \w+, but the manifest of the bundle names \w+"),
        (_remove, DataError, r"adapter/adapter_config\.json cannot be read, the bucket has no such key"),
        (
            _outside,
            ProgramError,
            r"manifest\.json is damaged \(`files\.\.\./escaped` is '\.\./escaped' and should be",
        ),
        (_newer, ProgramError, "schema version 2, this release reads 1: use the release that wrote it"),
        (_garbage, ProgramError, r"manifest\.json is damaged \(broken JSON: it is not UTF-8 text, byte 0"),
    ],
)
def test_a_damaged_bundle_is_refused(
    damage: Callable[..., None],
    error: type[Exception],
    sentence: str,
    programs: tuple[Path, Path],
    s3: Server,
    tmp_path: Path,
) -> None:
    publish(programs[0], f"s3://data/{tmp_path.name}")
    damage(programs[0], s3, tmp_path.name)
    with pytest.raises(error, match=f"^s3://data/{tmp_path.name}/.*{sentence}"):
        fetch(f"s3://data/{tmp_path.name}")
    assert list((tmp_path / "cache").rglob("*.json")) == []


def test_a_local_bundle_is_verified_and_a_plain_program_needs_none(programs: tuple[Path, Path], tmp_path: Path) -> None:
    assert fetch(str(programs[0])) == programs[0]
    publish(programs[0], str(tmp_path / "bundle"))
    (tmp_path / "bundle" / "README.md").write_text("Better than it is.")
    with pytest.raises(ProgramError, match=r"bundle/README\.md has sha256 .*, but the manifest"):
        fetch(str(tmp_path / "bundle"))


def test_a_bundle_is_fetched_once(
    programs: tuple[Path, Path], s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"s3://data/{tmp_path.name}"
    publish(programs[0], target)
    first = fetch(target)
    with proxy_to(s3.endpoint) as proxy:
        use(monkeypatch, proxy.endpoint)
        assert fetch(target) == first
        assert proxy.requests == 1  # the manifest
        shutil.rmtree(first / "adapter")
        assert fetch(target) == first
    assert _bytes(programs[0]).items() <= _bytes(first).items()


# ------------------------------------------------------------------------------------------------ card


def test_the_card_is_one_of_hugging_faces(programs: tuple[Path, Path], tmp_path: Path) -> None:
    publish(programs[0], str(tmp_path / "bundle"))
    card = ModelCard.load(tmp_path / "bundle" / "README.md")
    program = read_program(programs[0])
    assert (card.data.base_model, card.data.library_name) == (None, "peft")  # a folder, which others do not have
    assert str(program.model) not in card.content
    assert str(tmp_path) not in card.content
    assert f"on a model that was in a folder (content `{program.model_revision[:12]}`)" in card.text
    assert card.data.pipeline_tag == "text-generation"
    assert {"dspy", "lora"} <= set(card.data.tags)
    assert card.data.license is None
    (result,) = card.data.eval_results
    assert (result.metric_value, result.dataset_type) == (0.625, TASK)
    assert f"bt predict BUNDLE --task {TASK} thing=..." in card.text
    assert "this decoding: closed scored." in card.text
    assert "What it scored" not in card.text
    assert "vllm serve BASE --enable-lora --max-lora-rank 8 --lora-modules adapter=BUNDLE/adapter" in card.text
    assert "| 2.w | w | 0 | 0.500 | 0.625 | `bbbbbbbbbbbb` |" in card.text
    assert "They are about these programs: another seed may give others." in card.text


def test_the_card_names_the_hubs_model_and_the_test_score(
    programs: tuple[Path, Path], tmp_path: Path, tiny_model: BaseModel
) -> None:
    state = replace(read_program(programs[0]), model="acme/tiny", model_revision="c0ffee" * 6 + "c0ff")
    card = ModelCard(model_card(state, programs[0], f"s3://data/{tmp_path.name}", "Test score: 0.750."))
    assert card.data.base_model == "acme/tiny"
    assert "LoRA adapters on `acme/tiny`, revision `c0ffeec0ffee" in card.text
    assert "## What it scored\n\nTest score: 0.750.\n" in card.text
    assert f"bt predict s3://data/{tmp_path.name} thing=..." in card.text
    embedded = model_card(replace(state, model="smollm2-135m-instruct"), programs[0], "bundle")
    assert "on a 4-bit copy of `HuggingFaceTB/SmolLM2-135M-Instruct`, revision `12fd25f" in embedded


def test_the_cards_peft_lines_load_the_weights(programs: tuple[Path, Path], tiny_folder: Path, tmp_path: Path) -> None:
    publish(programs[0], str(tmp_path / "bundle"))
    text = (tmp_path / "bundle" / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    (tmp_path / "serve.py").write_text(code)
    names = runpy.run_path(str(tmp_path / "serve.py"), {"BASE": str(tiny_folder), "BUNDLE": str(tmp_path / "bundle")})
    tokens = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        adapted = names["model"](tokens).logits
        base = AutoModelForCausalLM.from_pretrained(tiny_folder)(tokens).logits
    assert not torch.allclose(adapted, base)


# ------------------------------------------------------------------------------------------------ models


def test_a_model_in_s3_is_the_folder_it_was(
    tiny_folder: Path, s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"s3://data/{tmp_path.name}/model"
    Store().upload_folder(tiny_folder, address)
    found = resolve_model(address)
    assert (found.id, found.revision) == (address, resolve_model(str(tiny_folder)).revision)
    assert (found.path / "model.safetensors").read_bytes() == (tiny_folder / "model.safetensors").read_bytes()
    with proxy_to(s3.endpoint) as proxy:
        use(monkeypatch, proxy.endpoint)
        assert resolve_model(address, found.revision) == found
        assert proxy.requests == 1  # the list of names and etags
    use(monkeypatch, s3.endpoint)
    config = json.loads((tiny_folder / "config.json").read_text()) | {"rope_theta": 1.0}
    Store().write_bytes(json.dumps(config).encode(), f"{address}/config.json")
    assert resolve_model(address).path != found.path
    with pytest.raises(ModelError, match=f"^The base model {address} has revision .*, but the program was made with"):
        resolve_model(address, found.revision)


def test_a_place_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^s3://data/no-model/ holds no objects called \*\.safetensors or"):
        resolve_model("s3://data/no-model")
    Store().write_bytes(b"{}", f"s3://data/{tmp_path.name}/config.json")
    with pytest.raises(ModelError, match=rf"^The model folder s3://data/{tmp_path.name} has no \*\.safetensors"):
        resolve_model(f"s3://data/{tmp_path.name}")
