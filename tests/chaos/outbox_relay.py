"""A relay as a process of its own, to be killed: writes each message to a file before the relay deletes it.

Arguments: the database's URL, the file, and ``ordered`` or ``unordered``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import rdskit
from rdskit.outbox import Message, Relay


async def main(url: str, path: Path, *, ordered: bool) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def handler(message: Message) -> None:
        os.write(file, f"{message.id} {message.key} {message.payload}\n".encode())
        await asyncio.sleep(0)

    async with rdskit.connect(url, tls="off", max_size=2) as db:
        await Relay(db, handler, ordered=ordered, batch=20, poll=0.02).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), ordered=sys.argv[3] == "ordered"))
