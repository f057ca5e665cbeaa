"""Look up targets by name in ``rdskit.toml``, which holds their URLs and options.

```toml
[targets.orders]
url = "rds://orders/shop"
credentials = "secretsmanager:prod/orders"
```

The file is searched in the working directory and its parents; ``RDSKIT_CONFIG`` names another one.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rdskit.client.database.arguments import ConnectArguments
from rdskit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FILE: Final = "rdskit.toml"
VARIABLE: Final = "RDSKIT_CONFIG"
_NAME: Final = re.compile(r"\w[\w.-]*")
_KINDS: Final = {str: "a string", bool: "true or false", int: "a whole number", float: "a number", list: "a list"}
#: Key of a target → the types that its value may have. Keys are arguments of ``rdskit.connect``, without those that
#: are secret or code.
_KEYS: Final[dict[str, tuple[type, ...]]] = {
    "url": (str,),
    "credentials": (str,),
    "tls": (str,),
    "ca": (str,),
    "cleartext_password": (bool,),
    "consistency": (str,),
    "readers": (str, list),
    "readable": (list,),
    "topology": (str,),
    "timeout": (int, float),
    "min_size": (int,),
    "max_size": (int,),
    "max_waiting": (int,),
    "connect_timeout": (int, float),
    "application_name": (str,),
    "settings": (dict,),
    "processes": (int,),
    "pinning": (str,),
    "pipeline": (str,),
    "spill": (int, float),
}
#: Each is checked with the others: one alone may not fit the default of another.
_SIZES: Final = frozenset({"min_size", "max_size"})


class NamedTarget(NamedTuple):
    """One target of the file.

    Attributes:
        url: the target itself.
        options: further arguments of ``rdskit.connect``.
    """

    url: str
    options: dict[str, Any]


def is_name(target: object) -> bool:
    """Return whether a target can be a name in the file: it is neither a URL nor a secret."""
    return isinstance(target, str) and _NAME.fullmatch(target) is not None


def find_file(directory: Path | None = None) -> Path | None:
    """Return the file that applies here; None if there is none.

    Args:
        directory: where to start the search; the working directory if None.

    Raises:
        ConfigError: ``RDSKIT_CONFIG`` names a file that does not exist, or the file belongs to another user.
    """
    if chosen := os.environ.get(VARIABLE):
        path = Path(chosen).expanduser()
        if not path.is_file():
            raise ConfigError(f"{VARIABLE}={chosen} is not a file: name an existing {FILE}, or unset the variable")
        return path
    start = (directory or Path.cwd()).absolute()
    for folder in (start, *start.parents):
        path = folder / FILE
        # The nearest file wins, even over a refusal: skipping it would silently use other targets.
        if path.is_file():
            _check_owner(path)
            return path
    return None


def target_names(directory: Path | None = None) -> tuple[str, ...]:
    """Return the names of all targets of the file that applies here; empty if there is none.

    Raises:
        ConfigError: the file cannot be used.
    """
    path = find_file(directory)
    return () if path is None else tuple(_targets(path))


def named_target(name: str, directory: Path | None = None) -> NamedTarget | None:
    """Return a target of the file; None if there is no file.

    Args:
        name: name of the target.
        directory: where to start the search for the file; the working directory if None.

    Raises:
        ConfigError: the file cannot be used, has no such target, or one of its keys is invalid.
    """
    path = find_file(directory)
    if path is None:
        return None
    targets = _targets(path)
    if name not in targets:
        near = _nearest(name, targets)
        hint = f"did you mean {near!r}?" if near else f"it has: {', '.join(targets) or 'none'}"
        raise ConfigError(f"{path} has no target {name!r}; {hint}")
    return _read(path, name, targets[name])


def expanded(target: str, given: ConnectArguments) -> tuple[str, ConnectArguments]:
    """Replace a named target by its URL and options; return any other target unchanged.

    An argument that differs from its default takes precedence over the file.

    Raises:
        ConfigError: as for `named_target`.
    """
    found = named_target(target) if is_name(target) else None
    if found is None:
        return target, given
    defaults = ConnectArguments()
    # An argument that is given explicitly with its default value cannot be distinguished: then the file's value wins.
    from_file = {
        name: value for name, value in found.options.items() if getattr(given, name) == getattr(defaults, name)
    }
    return found.url, given._replace(**from_file)


def _check_owner(path: Path) -> None:
    """Refuse a file of another user, who could redirect passwords by a file above the working directory."""
    owner = path.stat().st_uid
    if hasattr(os, "geteuid") and owner not in {0, os.geteuid()}:
        raise ConfigError(f"{path} belongs to another user: if you trust it, set {VARIABLE}={path}")


def _targets(path: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - only where a name is used

    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; correct its permissions, or remove it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}; correct that line") from error
    for key in content:
        if key != "targets":
            raise ConfigError(f"{path}: {key} is not known; write targets as [targets.NAME]")
    targets = content.get("targets", {})
    if not isinstance(targets, dict):
        raise ConfigError(f"{path}: targets is not a table; write each as [targets.NAME]")
    for name, value in targets.items():
        if not isinstance(value, dict):
            raise ConfigError(f"{path}: targets.{name} is not a table; write [targets.{name}] with url = …")
        if not is_name(name):
            raise ConfigError(f"{path}: targets.{name!r} is not a name: use letters, digits, '_', '-' and '.'")
    return targets


def _read(path: Path, name: str, table: Mapping[str, Any]) -> NamedTarget:
    for key, value in table.items():
        where = f"{path}: targets.{name}.{key}"
        kinds = _KEYS.get(key)
        if kinds is None:
            near = _nearest(key, _KEYS)
            raise ConfigError(f"{where} is not known; {f'did you mean {near}?' if near else _known()}")
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(_KINDS.get(kind, "a table") for kind in kinds)
            raise ConfigError(f"{where} has a wrong type: give {wanted}")
    if "url" not in table:
        raise ConfigError(f"{path}: targets.{name}.url is missing; write where the database is, as in rds://{name}")
    options = {key: value for key, value in table.items() if key != "url"}
    if "ca" in options:
        # Relative to the file, as the working directory differs between callers; an absolute path stays as it is.
        options["ca"] = str(path.parent / Path(options["ca"]).expanduser())
    _check(path, name, table["url"], options)
    return NamedTarget(table["url"], options)


def _check(path: Path, name: str, url: str, options: dict[str, Any]) -> None:
    """Refuse here what ``connect`` would refuse later, so that the error can name the file and the key."""
    from rdskit.client.credentials import check_credentials  # noqa: PLC0415 - not with the package
    from rdskit.client.database.opening import checked  # noqa: PLC0415 - same
    from rdskit.client.targets.drivers import parse  # noqa: PLC0415 - same

    where = f"{path}: targets.{name}"
    try:
        password = parse(url).password
    except ConfigError as error:
        raise ConfigError(f"{where}.url: {error}") from error
    if password is not None:
        raise ConfigError(
            f"{where}.url contains a password, and such files are shared: leave it out, and set credentials to 'env', "
            "'iam', 'secretsmanager:ID' or 'ssm:/path'"
        )
    defaults = ConnectArguments()
    for key, value in options.items():
        try:
            if key not in _SIZES:
                checked(defaults._replace(**{key: value}))
            if key == "credentials":
                check_credentials(value, encrypted=options.get("tls") != "off")
            if key == "tls":
                _check_tls(value)
        except ConfigError as error:
            raise ConfigError(f"{where}.{key}: {error}") from error
    try:
        checked(defaults._replace(**options))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _check_tls(mode: str) -> None:
    from rdskit.client.tls import MODES  # noqa: PLC0415 - not with the package

    if mode not in MODES:
        raise ConfigError(f"tls={mode!r} is not known; choose one of {', '.join(MODES)}")


def _nearest(word: str, words: Iterable[str]) -> str:
    """Return the known word that is most similar to a misspelled one; empty if there is none."""
    import difflib  # noqa: PLC0415 - only after a mistake

    return next(iter(difflib.get_close_matches(word, list(words), 1)), "")


def _known() -> str:
    return f"the keys are: {', '.join(_KEYS)}"
