"""How the time of a forward pass depends on its number of tokens."""

#: Up to so many tokens a pass takes little longer than with a few, since it reads all the weights in any case. On two
#: cores a pass over 48 tokens takes twice as long as one over 4 (docs/LOG.md). The number for CUDA is not measured; it
#: is below the ratio of an H100's operations to its bandwidth.
CHEAP = {"cpu": 48, "cuda": 256}
#: Beyond so many tokens in a pass, a layer's activations no longer fit a CPU's caches and the freed memory that the C
#: library keeps (docs/LOG.md, "Pages"). A GPU only gains from more tokens.
BROAD = {"cpu": 1_280}


def cheap(device: str) -> int:
    """How many tokens a pass on this kind of device may hold and take little longer than for one."""
    return CHEAP.get(device, CHEAP["cpu"])


def broad(device: str) -> int | None:
    """Beyond how many tokens a pass on this kind of device is better split in two; None: it never is."""
    return BROAD.get(device)
