"""Keep asyncio's receive buffers in the heap: half of the processor time of a short query.

asyncio receives into a new buffer of 256 KiB and shrinks it to what came. glibc serves blocks of 128 KiB or more with
mmap, so that each answer costs three system calls and a page fault, until the process has freed one larger block:
``M_MMAP_THRESHOLD`` in mallopt(3) grows by itself then. Whether that happens before the first query is chance; here
it is made to happen. Other allocators are not affected.
"""

from __future__ import annotations

from typing import Final

_BLOCK: Final = 1 << 20  # bytes: above asyncio's buffer, below the largest threshold, 32 MiB


def keep_receive_buffers() -> None:
    """Raise the threshold above which the allocator maps blocks, by freeing one larger than asyncio's buffer."""
    bytearray(_BLOCK)


__all__ = ["keep_receive_buffers"]
