"""The names of the layers that get LoRA weights, checked against a model's files before anything is paid for."""

from collections.abc import Collection, Sequence

from safetensors import safe_open

from bt_core.errors import ModelError
from bt_core.models import BaseModel

#: PEFT's word for all linear layers but that of the logits.
ALL_LINEAR = "all-linear"


def check_names(model: BaseModel, targets: Sequence[str]) -> None:
    """Check that the files of a model have a weight for each name.

    The names that pass are checked again when the model is loaded: a file does not say which weights are linear.

    Raises:
        ModelError: names the first that has none, and the names that there are.
    """
    layers = _layers(model)
    if not layers or tuple(targets) == (ALL_LINEAR,):  # a model on a server may have no files here
        return
    in_blocks = {name.rpartition(".")[2] for name, rank in layers.items() if rank == 2 and _is_in_a_block(name)}
    for target in targets:
        if not any(means(target, name) for name in layers):
            raise refusal(target, "is no layer of the model", in_blocks)


def means(target: str, layer: str) -> bool:
    """Whether PEFT takes a name for a layer: its whole path, or the end of it."""
    return layer == target or layer.endswith(f".{target}")


def refusal(target: str, why: str, there: Collection[str]) -> ModelError:
    """The error about a name in `w.target_modules`, with the names that could stand there."""
    names = ", ".join(sorted(there))
    return ModelError(f"`w.target_modules` names `{target}`, which {why}: name some of {names}, or {ALL_LINEAR} alone.")


def _layers(model: BaseModel) -> dict[str, int]:
    """The path of each layer that has a weight, with the number of the weight's dimensions."""
    layers = {}
    for path in sorted(model.path.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as tensors:
            names = tensors.keys()
            for name in names:
                if name.endswith(".weight"):
                    layers[name.removesuffix(".weight")] = len(tensors.get_slice(name).get_shape())
    return layers


def _is_in_a_block(layer: str) -> bool:
    return any(part.isdigit() for part in layer.split("."))
