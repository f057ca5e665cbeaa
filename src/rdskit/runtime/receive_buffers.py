"""Keep asyncio's receive buffers in the heap, which halves the processor time of a short query.

asyncio receives into a new buffer of 256 KiB and shrinks it to the received size. glibc allocates blocks of 128 KiB or
more with mmap, so each response costs three system calls and a page fault. Freeing one larger mapped block raises that
limit for the process: ``M_MMAP_THRESHOLD`` in mallopt(3) is dynamic. Whether that happens before the first query is
chance; this module makes sure of it. Other allocators are not affected.
"""

from __future__ import annotations

from typing import Final

_BLOCK: Final = 1 << 20  # bytes: above asyncio's buffer, below 32 MiB, the largest dynamic threshold


def keep_receive_buffers() -> None:
    """Raise the allocator's mmap threshold by freeing a block larger than asyncio's buffer."""
    bytearray(_BLOCK)


__all__ = ["keep_receive_buffers"]
