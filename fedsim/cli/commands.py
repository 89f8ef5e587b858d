"""A group of commands that are imported when they are called; its help comes from a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import get_annotations
from typing import Any, get_args

import click
import typer
from click.shell_completion import CompletionItem
from typer.core import TyperArgument, TyperCommand
from typer.models import ArgumentInfo

Table = Mapping[str, tuple[str, str]]


class Commands(click.Group):
    """Commands by name: where each is, as module:function, and its line in the help."""

    def __init__(self, table: Table, **options: Any) -> None:
        super().__init__(**options)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.table:
            return None
        module, function = self.table[cmd_name][0].split(":")
        return _command(cmd_name, getattr(import_module(module), function))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called; an unknown one is answered with the nearest that there is."""
        if args and args[0] not in self.table and not args[0].startswith("-"):
            from fedsim.scenario.messages import did_you_mean

            ctx.fail(f"there is no command {args[0]!r}{did_you_mean(args[0], self.table)}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin so, importing nothing."""
        names = [
            CompletionItem(name, help=text) for name, (_, text) in self.table.items() if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.table.items()])


class _PlainCommand(TyperCommand):
    """A command whose help is plain text. typer escapes brackets for rich, and newer clicks lose arguments' help."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        arguments, options = [], []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, TyperArgument):
                arguments.append((parameter.make_metavar(ctx), self.argument_help.get(parameter.name or "", "")))
            elif record is not None:
                options.append((record[0], record[1].replace("\\[", "[")))
        for title, rows in (("Arguments", arguments), ("Options", options)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    argument_help: Mapping[str, str] = {}


def _command(name: str, function: Callable[..., Any]) -> click.Command:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=_PlainCommand)(function)
    command = typer.main.get_command(app)
    assert isinstance(command, _PlainCommand)
    annotations = get_annotations(function, eval_str=True)
    marks = {key: [m for m in get_args(hint)[1:] if isinstance(m, ArgumentInfo)] for key, hint in annotations.items()}
    command.argument_help = {key: found[0].help or "" for key, found in marks.items() if found}
    return command
