"""What the C library keeps of memory that was freed.

glibc gets each block above a threshold from the system and gives it back at once, so that its pages
are cleared for each use; smaller ones it keeps, and what lies between those in use stays with the
process. Arrays of a few thousand pairs are made and freed hundreds of times for one answer, and a
comparison of a list takes twice as long where they come from the system. Hundreds of large bodies,
read in such blocks, would leave most of their memory with the process. So the threshold is above
those arrays, and what is free is given back twice a second, which takes less than a millisecond
where there is little. Other C libraries have no such options, and are left alone.
"""

import asyncio
import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
_LARGE_BLOCK_BYTES, _KEPT_BYTES = 1 << 20, 16 << 20
_PAUSE_S = 0.5


def keep_small_blocks() -> None:
    """Keep freed blocks up to a megabyte, and no more of them than `give_back` leaves."""
    with contextlib.suppress(AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


async def give_back() -> None:
    """Give back what is free, for as long as it runs."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(_PAUSE_S)
        await asyncio.to_thread(trim, 0)
