"""BT_WHEEL against a real S3 server: what is installed is what was named, or nothing."""

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bt_core.errors import ConfigError, DataError
from bt_core.user_wheel import WHEEL_VARIABLE, install
from tests.s3 import Server, s3_server, use

NAME = "greeter-1.0-py3-none-any.whl"
FILES = {
    "greeter.py": "GREETING = 'hello'\n",
    "greeter-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: greeter\nVersion: 1.0\nRequires-Dist: nowhere\n",
    "greeter-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "greeter-1.0.dist-info/RECORD": "",
}
#: What the image's site-packages hold.
START = Path(__file__).parents[2] / "docker" / "bt_start.pth"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def address(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A wheel in S3, with its sha256."""
    use(monkeypatch, server.endpoint)
    wheel(tmp_path / NAME)
    return _put(server, (tmp_path / NAME).read_bytes())


def wheel(path: Path) -> None:
    """Write a small package."""
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)


def _put(server: Server, content: bytes, name: str = NAME) -> str:
    server.client.put_object(Bucket="data", Key=name, Body=content)
    return f"s3://data/{name}#sha256={hashlib.sha256(content).hexdigest()}"


def _python(tmp_path: Path, address: str, code: str) -> subprocess.CompletedProcess[str]:
    """An interpreter that starts as the image's does."""
    started = f"import site; site.addpackage({str(START.parent)!r}, {START.name!r}, None); {code}"
    environment = {**os.environ, WHEEL_VARIABLE: address, "BT_CACHE": str(tmp_path / "cache")}
    return subprocess.run([sys.executable, "-c", started], env=environment, capture_output=True, text=True, check=False)


def test_a_wheel_is_installed_once_and_without_its_dependencies(address: str, server: Server, tmp_path: Path) -> None:
    folder = install(address, tmp_path / "wheels")
    assert (folder / "greeter.py").read_text() == FILES["greeter.py"]
    assert [path.name for path in (tmp_path / "wheels").iterdir()] == [address[-64:]]
    server.client.delete_object(Bucket="data", Key=NAME)
    assert install(address, tmp_path / "wheels") == folder


def test_an_altered_wheel_leaves_nothing(address: str, server: Server, tmp_path: Path) -> None:
    server.client.put_object(Bucket="data", Key=NAME, Body=b"something else")
    with pytest.raises(DataError, match=rf"s3://data/{NAME} has sha256 [0-9a-f]{{12}}\.\.\., but BT_WHEEL says "):
        install(address, tmp_path / "wheels")
    assert list((tmp_path / "wheels").iterdir()) == []


@pytest.mark.parametrize(
    "wrong", [f"s3://data/{NAME}", f"s3://data/{NAME}#sha256=12", f"s3://data/greeter.zip#sha256={'0' * 64}"]
)
def test_an_address_without_wheel_or_sha256_is_refused(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"write s3://bucket/name\.whl#sha256= and what `sha256sum` prints"):
        install(wrong, tmp_path)


@pytest.mark.usefixtures("address")
def test_what_is_no_wheel_is_said_to_be_none(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"s3://data/{NAME} cannot be installed \(.+\): build the wheel again"):
        install(_put(server, b"no zip"), tmp_path / "wheels")


def test_an_interpreter_finds_the_package(address: str, tmp_path: Path) -> None:
    done = _python(tmp_path, address, "import greeter; print(greeter.GREETING)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


@pytest.mark.usefixtures("address")
def test_an_interpreter_ends_with_the_sentence(tmp_path: Path) -> None:
    done = _python(tmp_path, f"s3://data/absent.whl#sha256={'0' * 64}", "print('never')")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("bt-error 2: s3://data/absent.whl ")
