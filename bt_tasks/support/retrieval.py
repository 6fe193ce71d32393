"""Retrieval of passages: BM25 over a corpus, or a server that speaks ColBERTv2's protocol.

A passage is one text, `title | text`, as ColBERTv2's Wikipedia servers return it.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Protocol
from urllib.parse import urlencode

import bm25s

from bt_core.data import read_source
from bt_core.errors import ConfigError, DataError, WorldError
from bt_core.records import Row
from bt_core.web import ask_json

#: The file of passages in an exported folder, a JSON text a line.
PASSAGES_FILE = "passages.jsonl"


class Retriever(Protocol):
    """Finds passages for a query, the best first; it is called from many threads at once."""

    def search(self, query: str, count: int) -> list[str]:
        """Find at most `count` passages."""
        ...


@dataclass
class Bm25:
    """BM25 (Robertson and Zaragoza 2009) by the library bm25s, with its defaults (Lucene's variant, k1 1.5, b 0.75).

    English stop words are left out, and words are not stemmed. The index is made at the first search and stays in
    memory.

    Args:
        passages: gives the corpus.
    """

    passages: Callable[[], Sequence[str]]
    _lock: Lock = field(default_factory=Lock, init=False)

    def search(self, query: str, count: int) -> list[str]:
        """Find passages that share a word with the query."""
        with self._lock:  # the first search makes the index
            texts, index = self._index
        words = [word for word in _words([query])[0] if word in index.vocab_dict]
        if not words:
            return []
        positions, scores = index.retrieve(
            [words], k=min(count, len(texts)), show_progress=False, backend_selection="numpy"
        )
        return [texts[at] for at, score in zip(positions[0], scores[0], strict=True) if score > 0.0]

    def exported(self, folder: Path) -> "Bm25":
        """The same search for a folder that `bt export` writes, which gets a copy of the passages."""
        lines = (json.dumps(passage, ensure_ascii=False) for passage in self.passages())
        (folder / PASSAGES_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return Bm25(exported_passages)

    @cached_property
    def _index(self) -> tuple[Sequence[str], Any]:
        texts = self.passages()
        if not texts:
            raise DataError("The corpus holds no passages: name another one.")
        index = bm25s.BM25()
        index.index(_words(texts), show_progress=False)
        return texts, index


def exported_passages() -> list[str]:
    """The passages in an exported folder, where this function is copied to."""
    text = Path(__file__).with_name(PASSAGES_FILE).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def _words(texts: Sequence[str]) -> list[list[str]]:
    words: list[list[str]] = bm25s.tokenize(list(texts), stopwords="en", return_ids=False, show_progress=False)
    return words


@dataclass(frozen=True)
class ColbertServer:
    """A server that answers `GET url?query=...&k=...` with `{"topk": [{"text": ...}, ...]}`, the best first."""

    url: str

    def search(self, query: str, count: int) -> list[str]:
        """Ask the server.

        Raises:
            WorldError: when the server cannot be used.
        """
        answer = ask_json(f"{self.url}?{urlencode({'query': query, 'k': count})}", "The retriever")
        try:
            return [str(hit["text"]) for hit in answer["topk"][:count]]
        except (KeyError, TypeError):
            raise WorldError(
                f"The retriever at {self.url} did not answer with `topk` passages: check its address."
            ) from None


def retriever(corpus: str, url: str) -> Retriever:
    """The server at `url` if one is named, else BM25 over the corpus, which is read at the first search."""
    if url:
        return ColbertServer(url)

    def read() -> list[str]:
        if not corpus:
            raise ConfigError(
                "`task_settings.corpus` is empty: name the passages to search there, or a server in"
                " `task_settings.retriever`."
            )
        return read_corpus(corpus)

    return Bm25(read)


def read_corpus(address: str) -> list[str]:
    """Read the passages of a corpus, each once.

    Args:
        address: as for `bt_core.data.read_source`. A row is a paragraph with `text` or `sentences` and optionally a
            `title`, or a question whose `context` holds such paragraphs.

    Raises:
        DataError: when the corpus cannot be read, or a row is neither.
    """
    source = read_source(address)
    rows = [row for part in source.values() for row in part] if isinstance(source, Mapping) else source
    numbered = enumerate(rows, start=1)
    return list(dict.fromkeys(text for number, row in numbered for text in _passages(row, f"{address}, row {number}")))


def _passages(row: Row, where: str) -> Iterator[str]:
    for paragraph in _paragraphs(row):
        text = paragraph.get("text") or "".join(paragraph.get("sentences") or ())
        if not text:
            raise DataError(f"{where} holds no passage: give `title` and `text`, or `context` with such paragraphs.")
        yield passage(str(paragraph.get("title") or ""), str(text))


def passage(title: str, text: str) -> str:
    """A paragraph as one text, with its title in front."""
    return f"{title} | {text.strip()}" if title else text.strip()


def _paragraphs(row: Row) -> Iterable[Mapping[str, Any]]:
    context = row.get("context")
    if isinstance(context, Mapping):  # HotPotQA on the hub has a list of titles and a list of lists of sentences
        pairs = zip(context["title"], context["sentences"], strict=True)
        return [{"title": title, "sentences": sentences} for title, sentences in pairs]
    return context if isinstance(context, list) else [row]
