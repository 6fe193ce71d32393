"""Recognise out-of-memory errors."""

import ctypes

import torch

#: The messages of torch, C++ and oneDNN when an allocation fails on CPU. The last two are oneDNN's message for every
#: failure of a product, but a product that worked before fails for no other reason.
_MESSAGES = ("can't allocate memory", "std::bad_alloc", "could not create a ", "could not execute a ")


def out_of_memory(error: BaseException) -> bool:
    """Whether torch failed because memory ran out; on CPU it has no exception of its own for that."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in _MESSAGES)


def release() -> None:
    """Return freed memory to the system, from which oneDNN allocates; it cannot use what torch's allocator keeps."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only the C library of Linux has it
    if trim:
        trim(0)
