"""asyncio's receive buffers come from the heap once a driver is made; else each answer would map and unmap memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rdskit.runtime import receive_buffers

PROGRAM = """
import ctypes, runpy, sys

class Info(ctypes.Structure):  # mallinfo2(3); hblks: blocks that are mapped
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd u f o k c".split()]

mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
if mallinfo is None:  # not glibc
    print("no")
    sys.exit()
mallinfo.restype = Info

def is_mapped():
    before = mallinfo().hblks
    buffer = bytes(256 * 1024)
    return mallinfo().hblks > before

before = is_mapped()
runpy.run_path(sys.argv[1])["keep_receive_buffers"]()
print(f"{before} {is_mapped()}")
"""


@pytest.mark.no_server
def test_a_receive_buffer_is_not_mapped_anew() -> None:
    # In a process that has imported nothing else: what it frees while it imports may have the same effect.
    command = [sys.executable, "-S", "-c", PROGRAM, receive_buffers.__file__]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert told in {"True False", "no"}
