"""Read user and password from the environment, or from a ``.env`` file beside the program."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rdskit.errors import ConfigError
from rdskit.kernel.ports import Credentials, Login
from rdskit.kernel.typing import override

if TYPE_CHECKING:
    from rdskit.kernel.endpoints import Endpoint

POSTGRES_NAMES = ("PGUSER", "PGPASSWORD")
MYSQL_NAMES = ("MYSQL_USER", "MYSQL_PASSWORD")

_LINE = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>.*?)\s*")
_QUOTED = re.compile(r"""'(?P<literal>[^']*)'|"(?P<escaped>(?:[^"\\]|\\.)*)\"""")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class EnvironmentCredentials(Credentials):
    """User and password from two variables, read at each login, so that a change takes effect.

    If a variable is not set, the ``.env`` file is read. The environment itself is never changed.

    Args:
        user: the target's user, which takes precedence over the variable.
        names: names of the two variables.
    """

    def __init__(self, user: str | None = None, names: tuple[str, str] = POSTGRES_NAMES) -> None:
        self._user = user
        self._names = names

    @override
    async def login(self, endpoint: Endpoint, *, refused: Login | None = None) -> Login:
        """Return user and password from the environment or the file.

        Raises:
            ConfigError: there is no user, or the file cannot be read.
        """
        user_name, password_name = self._names
        found = {name: value for name in self._names if (value := os.environ.get(name)) is not None}
        # The file is not loaded into os.environ, so child processes do not inherit the password.
        if password_name not in found or not (self._user or found.get(user_name)):
            found = {**read_env_file(), **found}
        user = self._user or found.get(user_name)
        if not user:
            raise ConfigError(f"no user is given: name one in the target, set {user_name}, or pass credentials=")
        return Login(user, found.get(password_name))


def read_env_file() -> dict[str, str]:
    """Return the variables of ``.env`` in the running script's directory, else in the working directory.

    Parent directories are not searched, because another user may be able to write there.

    Raises:
        ConfigError: the file cannot be read. The message never quotes it.
    """
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    for directory in ([Path(script).resolve().parent] if script else []) + [Path.cwd()]:
        path = directory / ".env"
        try:
            return parse_env(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"{path} cannot be read: {reason}")
    return {}


def parse_env(text: str) -> dict[str, str]:
    r"""Parse lines of ``NAME=value``.

    A leading ``export`` and comments are allowed. A value in single quotes is literal. In double quotes, ``\n``,
    ``\r``, ``\t`` and escaped characters mean the same as in Python. An unquoted value ends before `` #``. Variables
    are not expanded, and other lines are ignored.
    """
    found = {}
    for line in re.split(r"\r\n|\n|\r", text):  # not splitlines(): it also splits at U+2028 and others in a password
        if match := _LINE.fullmatch(line):
            found[match["name"]] = _value(match["value"])
    return found


def _value(written: str) -> str:
    quoted = _QUOTED.match(written)
    if quoted is None:
        return re.split(r"(?:^|\s)#", written, maxsplit=1)[0].rstrip()
    if quoted["literal"] is not None:
        return quoted["literal"]
    return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), quoted["escaped"])
