"""The files of an adapter, for tests that load none."""

from pathlib import Path


def adapter_files(folder: Path, weights: bytes = b"weights") -> Path:
    """Make a folder that looks like an adapter to whoever only copies, hashes or compares it."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder
