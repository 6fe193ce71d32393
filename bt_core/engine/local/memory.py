"""Telling want of memory from other failures."""

import ctypes

import torch

#: What torch, C++ and oneDNN say when an allocation fails on CPU; the last two are all that oneDNN says of any failure
#: of a product, and a product that went before fails for nothing else.
_SAID = ("can't allocate memory", "std::bad_alloc", "could not create a ", "could not execute a ")


def out_of_memory(error: BaseException) -> bool:
    """Whether torch failed for want of memory; on CPU it has no exception of its own for that."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in _SAID)


def release() -> None:
    """Hand freed memory back to the system: what oneDNN makes comes from there, not from what the allocator keeps."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the C library of Linux has it
    if trim:
        trim(0)
