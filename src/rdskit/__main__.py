"""``python -m rdskit`` is the ``rdskit`` command."""

from rdskit.cli.main import main

if __name__ == "__main__":
    main()
