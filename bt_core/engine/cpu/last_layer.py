"""The last layer of a decoder, computed only at positions whose logits are needed.

No token attends to the last layer's output at another token. Where only the logits of a prompt's last position are
needed, everything behind the attention of the last layer is wasted at the other positions: most of one layer's work.
"""

from typing import Any

import torch
from torch import Tensor

_PARTS = {"input_layernorm", "self_attn", "post_attention_layernorm", "mlp"}


class LastLayer(torch.nn.Module):
    """Replaces a decoder's last layer and keeps its parts under their names."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        for name, part in layer.named_children():
            self.add_module(name, part)

    def forward(self, hidden_states: Tensor, logit_count: int = 0, **attending: Any) -> Tensor:
        """From [B, S, hidden] to [B, logit_count, hidden], the last positions; with `logit_count` 0, all of them."""
        normed = self.input_layernorm(hidden_states)
        attended, *_ = self.self_attn(hidden_states=normed, last_alone=logit_count == 1, **attending)
        rows = (hidden_states + attended)[:, -logit_count:]
        output: Tensor = rows + self.mlp(self.post_attention_layernorm(rows))
        return output


def compute_where_needed(model: Any) -> None:
    """Replace a frozen model's last layer, if the replacement reproduces its output.

    The model's forward pass then takes an argument `logit_count`, which must not be below its `logits_to_keep`.
    """
    decoder = getattr(model, "model", None)
    layers = getattr(decoder, "layers", None)
    if layers and {name for name, _ in layers[-1].named_children()} == _PARTS:
        ours = LastLayer(layers[-1])
        if torch.equal(_alone(decoder, ours), _alone(decoder, layers[-1])):
            layers[-1] = ours


def _alone(decoder: Any, layer: torch.nn.Module) -> Tensor:
    """The decoder's output for a few tokens, with this layer as its only one."""
    layers = decoder.layers
    decoder.layers = torch.nn.ModuleList([layer])
    try:
        with torch.inference_mode():
            ids = torch.arange(4, device=decoder.device)[None] % decoder.config.vocab_size
            states: Tensor = decoder(input_ids=ids, use_cache=False).last_hidden_state
            return states
    finally:
        decoder.layers = layers
