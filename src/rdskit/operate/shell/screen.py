"""The prompt in a terminal: multi-line editing, completion, history."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.filters import Condition, completion_is_selected
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.patch_stdout import patch_stdout
from pygments.lexers.sql import MySqlLexer, PostgresLexer

from rdskit.errors import RdskitError
from rdskit.kernel.server_words import escaped
from rdskit.kernel.sql import Dialect
from rdskit.kernel.typing import override
from rdskit.operate.shell import schema
from rdskit.operate.shell.candidates import Candidates
from rdskit.operate.shell.commands import QUIT, run_command
from rdskit.operate.shell.formats import as_lines
from rdskit.operate.shell.history import history_file
from rdskit.operate.shell.policy import is_command, is_complete, may_be_kept, statements, verb_of
from rdskit.operate.shell.running import GivenUpError, interruptible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

    from rdskit.operate.shell.model import Settings
    from rdskit.operate.shell.session import ShellSession

_LEXERS: Final[dict[Dialect, Any]] = {Dialect.POSTGRES: PostgresLexer, Dialect.MYSQL: MySqlLexer}
_DEFINING: Final = ("CREATE", "ALTER", "DROP", "RENAME")


class NameCompleter(Completer):
    """Propose names of the database; the names are replaced when they change."""

    def __init__(self) -> None:
        self.candidates = Candidates()

    @override
    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """Yield completions of the word before the cursor."""
        word, names = self.candidates.for_text(document.text_before_cursor, document.text_after_cursor)
        if not word and not complete_event.completion_requested:
            return
        for name in names:
            yield Completion(name, start_position=-len(word))


class DiscreetHistory(FileHistory):
    """Keep history in a file, without statements that set a password."""

    @override
    def store_string(self, string: str) -> None:
        """Write a typed text, unless it may contain a secret."""
        if may_be_kept(string):
            super().store_string(string)


class Screen:
    """Run the prompt until the user leaves.

    Args:
        session: an open session.
        name: the database's name, for the prompt.
        settings: the initial settings.
    """

    def __init__(self, session: ShellSession, name: str, settings: Settings) -> None:
        self._session = session
        self._name = name
        self._settings = settings
        self._completer = NameCompleter()
        self._prompt = self._made_prompt()
        self._refresh: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Read and run statements until the user leaves."""
        self._learn_names()
        while True:
            try:
                with patch_stdout():
                    text = await self._prompt.prompt_async(self._before)
            except KeyboardInterrupt:
                continue  # the line is dropped, as in every shell
            except EOFError:
                break
            if text.strip().rstrip(";").lower() in QUIT:
                break
            await self._run(text)
        if self._refresh is not None:
            self._refresh.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._refresh

    def say(self, words: str) -> None:
        """Print a notice to the terminal."""
        print(f"-- {escaped(words)}", flush=True)  # noqa: T201 - a prompt talks to its terminal

    async def _run(self, text: str) -> None:
        try:
            if is_command(text):
                lines, self._settings = await run_command(text, self._session, self._settings, self._width)
                _print(lines)
                return
            for statement in statements(text, self._session.dialect):
                await self._run_statement(statement)
        except RdskitError as error:
            _print([f"{type(error).__name__}: {escaped(str(error))}"])

    async def _run_statement(self, statement: str) -> None:
        call = self._session.run(statement, self._settings.limit)
        try:
            answer = await interruptible(self._session, call, self.say)
        except GivenUpError:
            await self._session.replace()
            return
        _print(list(as_lines(answer, self._settings, self._width)))
        if verb_of(statement, self._session.dialect).startswith(_DEFINING):
            self._learn_names()

    @property
    def _width(self) -> int:
        return self._prompt.output.get_size().columns

    @property
    def _before(self) -> str:
        return f"{self._name}{'*' if self._session.in_transaction else ''}> "

    def _learn_names(self) -> None:
        """Load the names of tables and columns in the background."""

        async def learn() -> None:
            with contextlib.suppress(RdskitError):  # a failure only means no completion
                self._completer.candidates = Candidates(await schema.known_columns(self._session))

        if self._refresh is None or self._refresh.done():
            self._refresh = asyncio.get_running_loop().create_task(learn())

    def _made_prompt(self) -> PromptSession[str]:
        path = history_file()
        history: History = InMemoryHistory() if path is None else DiscreetHistory(str(path))
        return PromptSession(
            history=history,
            completer=self._completer,
            complete_in_thread=True,
            complete_while_typing=False,  # only by Tab: an open menu would take over Enter and the arrow keys
            lexer=PygmentsLexer(_LEXERS[self._session.dialect]),
            multiline=True,
            prompt_continuation=lambda width, _line, _wrapped: f"{'.' * max(0, width - 1)} ",
            key_bindings=self._keys(),
            enable_history_search=True,
        )

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        ended = Condition(lambda: is_complete(self._prompt.default_buffer.text, self._session.dialect))

        @keys.add("enter", filter=completion_is_selected & ~ended)
        def _take(event: Any) -> None:
            """Take the completion that is selected, and stay on the line."""
            event.current_buffer.complete_state = None

        @keys.add("enter", filter=ended)
        def _run(event: Any) -> None:
            """Run what is complete; otherwise Enter begins another line."""
            event.current_buffer.validate_and_handle()

        return keys


def _print(lines: list[str]) -> None:
    print("\n".join(lines), flush=True)  # noqa: T201 - a prompt talks to its terminal
