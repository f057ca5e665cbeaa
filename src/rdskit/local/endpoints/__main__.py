"""Run the endpoint process: ``python -m rdskit.local.endpoints``. Only the daemon starts it."""

from __future__ import annotations

import asyncio
import logging
import resource

from rdskit.local.endpoints.server import serve

_DESCRIPTORS = 65536


def _allow_many_connections() -> None:
    """Raise the soft limit of open descriptors, as far as the hard limit allows."""
    # A relayed connection takes two descriptors, client and backend. The usual soft limit is 1024.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s", level=logging.WARNING)
    _allow_many_connections()
    asyncio.run(serve())
