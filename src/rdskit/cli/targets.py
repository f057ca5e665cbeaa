"""The options by which every command reaches a database, and errors that name them."""

import functools
import inspect
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_type_hints

import typer

Target = Annotated[
    str, typer.Argument(help="postgresql://…, mysql://…, mariadb://…, rds://IDENTIFIER or secretsmanager:ID")
]
Credentials = Annotated[str | None, typer.Option(help="env, iam, secretsmanager:ID or ssm:/path")]
Tls = Annotated[str, typer.Option(help="verify-full, require or off")]
Ca = Annotated[Path | None, typer.Option(help="A PEM file with one more authority to trust.")]
CleartextPassword = Annotated[
    bool, typer.Option("--cleartext-password", help="A server that is not verified may have the password in the clear.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

Result = TypeVar("Result")

_PASSWORD: Final = re.compile(r"(//[^:@/]*):[^@/]*@")

#: argument of ``rdskit.connect`` → its option, type and default, for every command that connects
_OPTIONS: Final[dict[str, tuple[str, Any, Any]]] = {
    "credentials": ("--credentials", Credentials, None),
    "tls": ("--tls", Tls, "verify-full"),
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


def in_options(text: str) -> str:
    """Return an error's text with options in place of arguments: ``tls='off'`` as ``--tls off``."""
    return _ARGUMENT.sub(_option, text)


def _option(found: re.Match[str]) -> str:
    option, value = _OPTIONS[found[1]][0], found[2]
    if not value or value == "True":
        return option
    return f"{option} {value if value[0].isalpha() else shlex.quote(value[1:-1])}"
