"""The last layer of a decoder, computed where logits are wanted.

No token attends to what the last layer makes of another one, so of a prompt that is wanted for its last position all
else that comes behind the layer's attention is work for nothing: most of one layer of the model.
"""

from typing import Any

import torch
from torch import Tensor

_PARTS = {"input_layernorm", "self_attn", "post_attention_layernorm", "mlp"}


class LastLayer(torch.nn.Module):
    """Takes the place of a decoder's last layer, whose parts it keeps under their names."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        for name, part in layer.named_children():
            self.add_module(name, part)

    def forward(self, hidden_states: Tensor, wanted: int = 0, **attending: Any) -> Tensor:
        """[B, S, hidden] to [B, wanted, hidden], the last positions; to all of them without `wanted`."""
        normed = self.input_layernorm(hidden_states)
        seen, *_ = self.self_attn(hidden_states=normed, last_alone=wanted == 1, **attending)
        rows = (hidden_states + seen)[:, -wanted:]
        found: Tensor = rows + self.mlp(self.post_attention_layernorm(rows))
        return found


def compute_where_wanted(model: Any) -> None:
    """Exchange a frozen model's last layer, where it is a layer whose output ours reproduces.

    The model's forward pass then takes `wanted`, which must not be below its `logits_to_keep`.
    """
    decoder = getattr(model, "model", None)
    layers = getattr(decoder, "layers", None)
    if layers and {name for name, _ in layers[-1].named_children()} == _PARTS:
        ours = LastLayer(layers[-1])
        if torch.equal(_alone(decoder, ours), _alone(decoder, layers[-1])):
            layers[-1] = ours


def _alone(decoder: Any, layer: torch.nn.Module) -> Tensor:
    """What the decoder makes of a few tokens with this layer as its only one."""
    layers = decoder.layers
    decoder.layers = torch.nn.ModuleList([layer])
    try:
        with torch.inference_mode():
            ids = torch.arange(4, device=decoder.device)[None] % decoder.config.vocab_size
            states: Tensor = decoder(input_ids=ids, use_cache=False).last_hidden_state
            return states
    finally:
        decoder.layers = layers
