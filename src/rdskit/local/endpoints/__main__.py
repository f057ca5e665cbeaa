"""``python -m rdskit.local.endpoints``: started by the local RDS, not by hand."""

from __future__ import annotations

import asyncio
import logging

from rdskit.local.endpoints.server import serve

if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s", level=logging.WARNING)
    asyncio.run(serve())
