"""Telling want of memory from other failures."""

import torch


def out_of_memory(error: BaseException) -> bool:
    """Whether torch failed for want of memory; on CPU it has no exception of its own for that."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
