"""A corpus and the data of a declared task in S3, as the stages on a cluster read them."""

import json
from pathlib import Path

import pytest

from bt_cli.options.settings import gather
from bt_core.data import load_splits
from bt_core.task import load_task
from bt_tasks.support.retrieval import retriever
from tests.s3 import Server, use

CORPUS = "s3://data/tasks/corpus.jsonl"


def _put(server: Server, key: str, rows: list[dict[str, str]]) -> None:
    body = "".join(json.dumps(row) + "\n" for row in rows)
    server.client.put_object(Bucket="data", Key=f"tasks/{key}", Body=body.encode())


def test_a_corpus_is_searched_there(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, s3.endpoint)
    _put(s3, "corpus.jsonl", [{"title": "Ada", "text": "programs"}, {"title": "Alan", "text": "machines"}])
    assert retriever(CORPUS, "").search("machines", 3) == ["Alan | machines"]
    settings = gather({"task": "hotpotqa"}, None, [f"task_settings.corpus={CORPUS}"]).config.task_settings
    assert settings == {"corpus": CORPUS}


def test_a_declared_tasks_labels_and_rows_are_read_there(
    s3: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, s3.endpoint)
    rows = [{"text": f"message {n}", "category": ("lost", "found")[n % 2]} for n in range(6)]
    _put(s3, "rows.jsonl", rows)
    file = tmp_path / "route.yaml"
    file.write_text(
        "{signature: text -> intent, metric: label_accuracy, labels: {intent: data}, columns: {intent: category},"
        " data: 's3://data/tasks/rows.jsonl'}"
    )
    found = gather({"task": str(file), "rows.train": 2, "rows.val": 2, "rows.test": 2}).config
    task = load_task(found.task, found.task_settings)
    assert task.config["task_settings"] == {"known_labels": {"intent": ["found", "lost"]}}
    splits = load_splits(task, "", found.rows, 0)
    assert {row["text"] for split in splits.values() for row in split} == {row["text"] for row in rows}
