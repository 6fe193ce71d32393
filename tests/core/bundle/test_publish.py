"""Bundles are published whole or not at all, and hold one program for ever."""

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from bt_core.bundle import MANIFEST_FILE, Manifest, Published, fetch, find_manifest, publish
from bt_core.errors import ProgramError, WorldError
from bt_core.program import program_sha256, read_program
from bt_core.storage import Store
from tests.faults import proxy_to
from tests.s3 import Server, use

TASK = "tests.core.toy:task"
publish_module = sys.modules[publish.__module__]


def _bytes(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


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
