"""Object storage on a real S3 server (SeaweedFS), through a network that fails, and while the server is down."""

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from bt_core.config import Rows
from bt_core.data import collected_notes, load_splits
from bt_core.errors import ConfigError, DataError, WorldError
from bt_core.storage import PATIENCE_VARIABLE, ConditionFailed, MissingObject, Store, local_copy
from tests.core import toy
from tests.faults import Proxy, proxy_to
from tests.s3 import OWNER, STRANGER, Server, free_ports, s3_server, use

ROWS = "".join(json.dumps(row) + "\n" for row in toy.rows())
KEY = "some folder/rows.jsonl"
SIZES = Rows(train=12, val=8, test=8)
#: For how many seconds the server is down in the test of an outage.
OUTAGE = float(os.environ.get("BT_TEST_OUTAGE", "1"))
#: More than fits into one part.
LARGE = bytes(range(256)) * 40_000


@pytest.fixture(scope="module")
def server(s3: Server) -> Server:
    """The shared server with `KEY` and a file with a broken line."""
    s3.client.put_object(Bucket="data", Key=KEY, Body=ROWS.encode())
    s3.client.put_object(Bucket="data", Key="broken.jsonl", Body=b'{"thing": 1}\n{"thing":')
    return s3


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request once, unless a test gives a store patience of its own."""
    monkeypatch.setenv(PATIENCE_VARIABLE, "0")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.fixture(scope="module")
def client(server: Server) -> Any:
    return server.client


@pytest.fixture
def store(server: Server, client: Any, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of the owner; the environment leads there too."""
    use(monkeypatch, server.endpoint)
    return Store(client)


@pytest.fixture
def proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with proxy_to(server.endpoint) as found:
        use(monkeypatch, found.endpoint)
        yield found


def test_rows_are_the_same_as_from_a_local_file(store: Store, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(ROWS)
    local = load_splits(toy.task, str(tmp_path / "rows.jsonl"), SIZES, 3)
    assert load_splits(toy.task, f"s3://data/{KEY}", SIZES, 3) == local


def test_a_prefix_holds_splits_as_a_folder_does(store: Store, tmp_path: Path) -> None:
    lines = ROWS.splitlines(keepends=True)
    for name, part in (("train", lines[:12]), ("val", lines[12:20]), ("test", lines[20:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(part))
    (tmp_path / "notes.txt").write_text("no rows")
    store.upload_folder(tmp_path, "s3://data/splits")
    local = load_splits(toy.task, str(tmp_path), SIZES, 3)
    assert load_splits(toy.task, "s3://data/splits/", SIZES, 3) == local
    store.upload(tmp_path / "train.jsonl", "s3://data/half/train.jsonl")
    with pytest.raises(DataError, match=r"^The data folder s3://data/half has no test\.jsonl"):
        load_splits(toy.task, "s3://data/half/", SIZES, 3)


def test_names_of_splits_and_what_is_not_read_are_as_in_a_folder(store: Store) -> None:
    lines = ROWS.splitlines(keepends=True)
    parts = {"train-1": lines[:6], "train-2": lines[6:12], "validation": lines[12:20], "test": lines[20:]}
    for name, part in (parts | {"test_old": lines}).items():
        store.write_bytes("".join(part).encode(), f"s3://data/named/{name}.jsonl")
    with collected_notes() as notes:
        splits = load_splits(toy.task, "s3://data/named/", SIZES, 3)
    assert {row["thing"] for row in splits["val"]} == {json.loads(line)["thing"] for line in parts["validation"]}
    assert notes == ["The data folder s3://data/named holds what is not read: test_old.jsonl."]


def test_a_malformed_file_is_named_by_its_address(store: Store) -> None:
    with pytest.raises(DataError, match=r"^s3://data/broken\.jsonl, line 2: broken JSON"):
        load_splits(toy.task, "s3://data/broken.jsonl", Rows(), 0)
    store.write_bytes(b"[", "s3://data/odd/train.jsonl")
    store.write_bytes(ROWS.encode(), "s3://data/odd/test.jsonl")
    with pytest.raises(DataError, match=r"^s3://data/odd/train\.jsonl, line 1: broken JSON"):
        load_splits(toy.task, "s3://data/odd/", Rows(), 0)


@pytest.mark.parametrize(
    ("address", "credentials", "sentence"),
    [
        ("s3://data/none.jsonl", OWNER, "the bucket has no such key"),
        ("s3://no-bucket/rows.jsonl", OWNER, "its bucket does not exist"),
        (f"s3://data/{KEY}", STRANGER, "access was denied: give these credentials the right to do so"),
        (f"s3://data/{KEY}", ("owner", "wrong"), "access was denied, the secret key is wrong"),
        (f"s3://data/{KEY}", ("nobody", "wrong"), "access was denied, the access key is unknown"),
    ],
)
def test_what_the_store_refuses_is_a_sentence(
    address: str, credentials: tuple[str, str], sentence: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, server.endpoint, credentials)
    with pytest.raises(DataError, match=f"^{address} cannot be read, {sentence}"):
        load_splits(toy.task, address, Rows(), 0)


def test_writing_and_listing_are_refused_in_sentences_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, server.endpoint, STRANGER)
    with pytest.raises(DataError, match=r"^s3://data/x cannot be written, access was denied"):
        Store().write_bytes(b"", "s3://data/x")
    with pytest.raises(DataError, match=r"^s3://data/x cannot be listed, access was denied"):
        Store().list("s3://data/x")
    use(monkeypatch, server.endpoint)
    with pytest.raises(DataError, match=r"^s3://no-bucket/x cannot be listed, its bucket does not exist"):
        Store().list("s3://no-bucket/x")
    with pytest.raises(DataError, match=r"^s3://data/nothing/ holds no objects called train\.\*"):
        Store().list_folder("s3://data/nothing", ["train.*"])


@pytest.mark.parametrize("address", ["s3://", "s3://bucket", "s3://bucket/", "s3://bucket/folder/", "rows.jsonl"])
def test_an_address_of_no_file_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names no file in S3: write s3://bucket/key"):
        Store().download(address, tmp_path / "copy")
    with pytest.raises(DataError, match="names no place in S3"):
        Store().list(address.removeprefix("s3://"))


def test_an_endpoint_that_nobody_serves_is_the_worlds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, f"http://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(WorldError, match=r"^s3://data/a cannot be reached .*: check AWS_ENDPOINT_URL and the network"):
        local_copy("s3://data/a", tmp_path)


def test_missing_and_senseless_settings_are_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, "no address")
    with pytest.raises(DataError, match="Invalid endpoint: no address"):
        local_copy("s3://data/a", tmp_path)
    use(monkeypatch, "http://127.0.0.1:1")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(DataError, match="cannot be read without credentials: set AWS_ACCESS_KEY_ID"):
        local_copy("s3://data/a", tmp_path)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(DataError, match=r"The config profile \(nobody\) could not be found"):
        local_copy("s3://data/a", tmp_path)
    for patience in ("long", "nan", "inf", "-1"):
        monkeypatch.setenv(PATIENCE_VARIABLE, patience)
        with pytest.raises(ConfigError, match=f"BT_S3_PATIENCE is '{patience}': give a number of seconds"):
            Store()


@pytest.mark.parametrize(
    ("status", "read", "listed"),
    [
        (503, "the store failed", "the store failed"),
        (418, "check address, endpoint", "check address, endpoint"),
        (200, "", "its endpoint speaks no S3: check AWS_ENDPOINT_URL"),
    ],
)
def test_another_server_at_the_endpoint_is_named(
    status: int, read: str, listed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"<html/>")

        def log_message(self, *args: Any) -> None:
            pass

    error = WorldError if status == 503 else DataError
    with HTTPServer(("127.0.0.1", 0), Page) as page:
        threading.Thread(target=page.serve_forever, args=(0.05,), daemon=True).start()
        use(monkeypatch, f"http://127.0.0.1:{page.server_port}")
        try:
            with pytest.raises(error, match=listed):
                Store().list("s3://data/a")
            if read:
                with pytest.raises(error, match=read):
                    local_copy("s3://data/a", tmp_path)
        finally:
            page.shutdown()


@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "small", "in-parts"])
def test_content_comes_back_byte_by_byte(content: bytes, store: Store, tmp_path: Path) -> None:
    address = f"s3://data/deep/é/{len(content)}.bin"
    (tmp_path / "file").write_bytes(content)
    etag = store.upload(tmp_path / "file", address)
    found = store.download(address, tmp_path / "new" / "copy")
    assert (tmp_path / "new" / "copy").read_bytes() == content
    assert store.read(address) == (content, found)
    (listed,) = store.list(address)
    assert (listed.address, listed.size, listed.etag, found.etag) == (address, len(content), etag, etag)
    assert etag.endswith("-2") == (content == LARGE)


def test_a_prefix_is_listed_and_copied(store: Store, tmp_path: Path) -> None:
    names = ["day-1.jsonl", "day-2.jsonl", "deep/day-3.jsonl"]
    for name in names:
        store.write_bytes(name.encode(), f"s3://data/days/{name}")
    assert [item.address for item in store.list("s3://data/days/day")] == [f"s3://data/days/{n}" for n in names[:2]]
    store.download_folder("s3://data/days", tmp_path / "days")
    assert sorted(p.relative_to(tmp_path / "days").as_posix() for p in tmp_path.rglob("*.jsonl")) == names
    store.download_folder("s3://data/days", tmp_path / "days", ["nothing", "day-1.*"])  # stays as it is
    assert len(list(tmp_path.rglob("*.jsonl"))) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["days"]


@pytest.mark.parametrize("content", [b"original", LARGE], ids=["small", "in-parts"])
def test_what_was_altered_or_cut_short_is_named(content: bytes, store: Store, server: Server, tmp_path: Path) -> None:
    """Another content under the metadata of the first, which the store's own checksum cannot notice."""
    address = "s3://data/altered"
    store.write_bytes(content, address)
    kept = server.client.head_object(Bucket="data", Key="altered")["Metadata"]
    for other in (content[:-1], content.replace(b"o", b"O", 1) if content == b"original" else content[::-1]):
        server.client.put_object(Bucket="data", Key="altered", Body=other, Metadata=kept)
        with pytest.raises(DataError, match=r"^s3://data/altered was altered or cut short after it was written \(its"):
            store.download(address, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_what_is_altered_on_its_way_fails_the_stores_checksum(server: Server, proxy: Proxy, tmp_path: Path) -> None:
    server.client.put_object(Bucket="data", Key="foreign", Body=b"original")  # not written by us
    proxy.always = "altered"
    with pytest.raises(DataError, match=r"^s3://data/foreign was altered or cut short"):
        Store().download("s3://data/foreign", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_conditional_writes_never_overwrite(store: Store) -> None:
    first = store.write_bytes(b"one", "s3://data/state", if_absent=True)
    with pytest.raises(ConditionFailed, match=r"^s3://data/state was changed by another writer: nothing was written"):
        store.write_bytes(b"two", "s3://data/state", if_absent=True)
    assert store.write_bytes(b"one", "s3://data/state", if_absent=True) == first  # the same content is no conflict
    second = store.write_bytes(b"two", "s3://data/state", if_match=first)
    with pytest.raises(ConditionFailed):
        store.write_bytes(b"three", "s3://data/state", if_match=first)
    with pytest.raises(ConditionFailed):
        store.write_bytes(b"three", "s3://data/no-state", if_match=first)
    content, found = store.read("s3://data/state")
    assert (content, found.etag) == (b"two", second)
    with pytest.raises(MissingObject):
        store.read_bytes("s3://data/no-state")


@pytest.mark.parametrize("replaced", [False, True])
def test_of_many_writers_at_once_one_wins(replaced: bool, store: Store) -> None:
    address = f"s3://data/race-{replaced}"
    condition: dict[str, Any] = {"if_absent": True}
    if replaced:
        condition = {"if_match": store.write_bytes(b"before", address)}
    start, won, lost = threading.Barrier(8), [], []

    def write(name: bytes) -> None:
        start.wait()
        try:
            store.write_bytes(name, address, **condition)
            won.append(name)
        except ConditionFailed:
            lost.append(name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, (b"writer %d" % number for number in range(8))))
    assert (len(won), len(lost)) == (1, 7)
    assert store.read_bytes(address) == won[0]


def test_a_write_whose_answer_was_lost_is_no_conflict_with_itself(proxy: Proxy) -> None:
    proxy.faults = ["lost"]
    etag = Store(patience=30).write_bytes(b"mine", "s3://data/lost", if_absent=True)
    assert Store().read("s3://data/lost")[1].etag == etag
    proxy.faults = ["lost"]
    Store(patience=30).write_bytes(b"mine again", "s3://data/lost", if_match=etag)
    assert Store().read_bytes("s3://data/lost") == b"mine again"


@pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "in-parts"])
def test_a_store_that_fails_for_a_while_is_survived(
    content: bytes, proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(content)
    patient = Store(patience=60)
    proxy.faults = ["busy", "lost"]
    patient.upload(tmp_path / "file", "s3://data/patient")
    proxy.faults = ["busy", "cut", "lost"]
    patient.download("s3://data/patient", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
    assert proxy.faults == []
    assert capsys.readouterr().err.startswith("warning: s3://data/patient cannot be written, the store failed (503")


@pytest.mark.parametrize(
    ("fault", "sentence"), [("busy", "the store failed"), ("cut", "cannot be reached"), ("lost", "cannot be reached")]
)
def test_a_fault_that_stays_leaves_no_half_file(fault: Any, sentence: str, proxy: Proxy, tmp_path: Path) -> None:
    Store().write_bytes(b"new content", "s3://data/fault")
    (tmp_path / "copy").write_text("old content")
    proxy.always = fault
    with pytest.raises(WorldError, match=f"^s3://data/fault .*{sentence}"):
        Store().download("s3://data/fault", tmp_path / "copy")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old content"]


def test_the_environment_says_how_often_a_request_is_made(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    proxy.always = "busy"
    with pytest.raises(WorldError):
        Store(patience=0).read_bytes("s3://data/fault")
    assert proxy.requests == 3


def test_a_server_that_is_down_in_mid_run_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`BT_TEST_OUTAGE=20` makes it 20 seconds."""
    with s3_server(tmp_path / "server") as own:
        use(monkeypatch, own.endpoint)
        store = Store(patience=OUTAGE + 60)
        store.write_bytes(LARGE, "s3://data/before")
        own.stop()
        with pytest.raises(WorldError, match="cannot be reached"):
            Store().read_bytes("s3://data/before")
        back = threading.Timer(OUTAGE, own.start)
        back.start()
        try:
            assert store.read_bytes("s3://data/before") == LARGE
        finally:
            back.join()
        store.write_bytes(b"after", "s3://data/after", if_absent=True)
        assert [item.address for item in store.list("s3://data/")] == ["s3://data/after", "s3://data/before"]
