"""Bundles are verified when they are read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bt_core.bundle import MANIFEST_FILE, Manifest, fetch, find_manifest, publish
from bt_core.errors import DataError, ProgramError
from tests.faults import proxy_to
from tests.s3 import Server, use


def _bytes(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


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
