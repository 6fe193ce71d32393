"""The memory that passes take: kept between them, and missed when it runs out."""

import ctypes

import torch

#: What torch, C++ and oneDNN say when an allocation fails on CPU; the last two are all that oneDNN says of any failure
#: of a product, and a product that went before fails for nothing else.
_SAID = ("can't allocate memory", "std::bad_alloc", "could not create a ", "could not execute a ")

#: Parameters of glibc's `mallopt`, from its malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def out_of_memory(error: BaseException) -> bool:
    """Whether torch failed for want of memory; on CPU it has no exception of its own for that."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in _SAID)


def keep_freed() -> None:
    """Have the C library keep what is freed, for the next layer to take, until `release`.

    By itself it hands large blocks back at once; their pages, which the system clears each time anew, cost a long pass
    a tenth to a fifth of its time (docs/LOG.md, "Pages"). Holds for the whole process.
    """
    for setting in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
        _c_library("mallopt", setting, 2**30)


def release() -> None:
    """Hand freed memory back to the system: what oneDNN makes comes from there, not from what the allocator keeps."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    _c_library("malloc_trim", 0)


def _c_library(function: str, *arguments: int) -> None:
    """Call what glibc has, and other C libraries may lack."""
    call = getattr(ctypes.CDLL(None), function, None)
    if call:
        call(*arguments)
