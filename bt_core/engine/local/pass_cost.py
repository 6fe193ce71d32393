"""What a forward pass costs beside its tokens."""

#: Tokens up to which a pass takes little longer than with a few, since it reads all the weights in any case. On two
#: cores a pass over 48 tokens takes twice as long as one over 4 (docs/LOG.md); on CUDA not measured, but below the
#: ratio of an H100's products to its bandwidth.
CHEAP = {"cpu": 48, "cuda": 256}
#: Tokens in a pass beyond which a CPU's caches, and what the C library keeps of freed memory, no longer hold a layer's
#: activations (docs/LOG.md, "Pages"); a GPU is the faster the more there are.
BROAD = {"cpu": 1_280}


def cheap(device: str) -> int:
    """Tokens that a pass on this kind of device may hold for little more than the price of one."""
    return CHEAP.get(device, CHEAP["cpu"])


def broad(device: str) -> int | None:
    """Tokens over which a pass on this kind of device is better split in two; None where it never is."""
    return BROAD.get(device)
