"""``python -m rdskit.cli`` is the ``rdskit`` command."""

from rdskit.cli.main import main

main()
