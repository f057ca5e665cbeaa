"""The options by which every command connects to a database, and errors that name them."""

import functools
import inspect
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_type_hints

import typer

from rdskit.client import api  # its names are loaded when they are used, and `rdskit --help` uses none
from rdskit.errors import ConfigError


def _known_names(incomplete: str) -> list[str]:
    """Return the names of rdskit.toml, for the completion of a target."""
    try:
        return [name for name in api.target_names() if name.startswith(incomplete)]
    except ConfigError:  # a key press is no place to complain; the command itself will
        return []


def _checked_credentials(value: str | None) -> str | None:
    if value is not None:
        api.check_credentials(value, encrypted=True)
    return value


FORMS: Final = "postgresql://…, mysql://…, mariadb://…, rds://IDENTIFIER, secretsmanager:ID or a name in rdskit.toml"
Target = Annotated[str, typer.Argument(metavar="TARGET", help=FORMS, show_default=False, autocompletion=_known_names)]
Credentials = Annotated[
    str | None,
    typer.Option(metavar="WAY", callback=_checked_credentials, help="env, iam, secretsmanager:ID or ssm:/path"),
]
Tls = Annotated[Literal["verify-full", "require", "off"] | None, typer.Option(help="verify-full by default.")]
Ca = Annotated[Path | None, typer.Option(metavar="FILE", help="A PEM file with one more authority to trust.")]
CleartextPassword = Annotated[
    bool,
    typer.Option("--cleartext-password", help="Send the password in the clear if an unverified server asks for it."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

Result = TypeVar("Result")

_PASSWORD: Final = re.compile(r"(//[^:@/]*):[^@/]*@")

#: argument of ``rdskit.connect`` → its option, type and default, for every command that connects
_OPTIONS: Final[dict[str, tuple[str, Any, Any]]] = {
    "credentials": ("--credentials", Credentials, None),
    "tls": ("--tls", Tls, None),
    "ca": ("--ca", Ca, None),
    "cleartext_password": ("--cleartext-password", CleartextPassword, False),
}

# ``tls='off'``, ``ca=PATH``, ``credentials=``: as our errors write arguments. Not the ``?tls=off`` of a URL.
_ARGUMENT = re.compile(rf"(?<![\w?&])({'|'.join(_OPTIONS)})=('[^']*'|\"[^\"]*\"|[A-Z][\w/]*)?")


def connects(command: Callable[..., Result]) -> Callable[..., Result]:
    """Add the options of a target to a command; it gets them together as its parameter ``options``.

    Args:
        command: has a parameter ``options``: arguments of ``rdskit.connect``, without those that are None or False.

    Returns:
        The command as Typer reads it.
    """
    signature = inspect.signature(command)
    hints = get_type_hints(command, include_extras=True)

    @functools.wraps(command)
    def connecting(**given: Any) -> Result:
        options = {name: value for name in _OPTIONS if (value := given.pop(name)) not in {None, False}}
        if given.get("target") is not None:
            given["target"], options = reached(given["target"], options)
        return command(options=options, **given)

    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name == "options":
            parameters += [
                inspect.Parameter(name, parameter.KEYWORD_ONLY, default=default, annotation=kind)
                for name, (_, kind, default) in _OPTIONS.items()
            ]
        else:
            parameters.append(parameter.replace(annotation=hints[parameter.name]))
    connecting.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    vars(connecting)["__signature__"] = signature.replace(parameters=parameters)
    return connecting


def without_password(target: str) -> str:
    """Return a target as a journal may keep it: a URL without its password."""
    return _PASSWORD.sub(r"\1@", target)


def reached(target: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the URL behind a target and how it is reached: a name of ``rdskit.toml``, overruled by what was given.

    Args:
        target: as it was given.
        options: arguments of ``rdskit.connect`` that were given.

    Raises:
        ConfigError: the target is of no known form, or the file or its entry is wrong.
    """
    found = api.named_target(target) if api.is_name(target) else None
    if found is not None:
        target, options = found.url, {key: found.options[key] for key in _OPTIONS if key in found.options} | options
    api.parse(target)
    return target, options


def in_options(text: str) -> str:
    """Return an error's text with options in place of arguments: ``tls='off'`` as ``--tls off``."""
    return _ARGUMENT.sub(_option, text)


def _option(found: re.Match[str]) -> str:
    option, value = _OPTIONS[found[1]][0], found[2]
    if not value or value == "True":
        return option
    return f"{option} {value if value[0].isalpha() else shlex.quote(value[1:-1])}"
