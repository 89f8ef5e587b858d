"""Completion in shells: `fedsim --install-completion`, and what a shell asks when TAB is pressed.

The scripts are typer's; the words come from the table of commands and from the command that is being written.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import click

from fedsim.core import DiskError

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
VARIABLE = "_FEDSIM_COMPLETE"
"""The environment variable by which a shell's script asks for words."""
_THIS = "this one"


def options() -> list[click.Option]:
    """Return the two options of the top level: each alone for the shell that it is typed in, or with a shell's name."""
    return [
        _option("--install-completion", "Have TAB complete commands and options in this shell, or the one named."),
        _option("--show-completion", "Print the script that does so."),
    ]


def answered(commands: click.Command) -> int | None:
    """Answer a shell that asks for words, and return the exit code; None when no shell asks."""
    asked = os.environ.get(VARIABLE)
    if not asked:
        return None
    from typer.completion import get_completion_inspect_parameters, shell_complete

    get_completion_inspect_parameters()  # tells click of typer's shells
    return shell_complete(commands, {}, "fedsim", VARIABLE, asked)


def _option(name: str, text: str) -> click.Option:
    return click.Option(
        [name],
        type=click.Choice([*SHELLS, _THIS]),
        is_flag=False,
        flag_value=_THIS,
        is_eager=True,
        expose_value=False,
        metavar="[SHELL]",
        callback=_called,
        help=text,
    )


def _called(ctx: click.Context, option: click.Parameter, shell: Any) -> None:
    if shell is None or ctx.resilient_parsing:
        return
    from typer.completion import install_callback, show_callback

    if shell == _THIS:
        shell = _detected(option.opts[0])
    callback = install_callback if option.opts[0] == "--install-completion" else show_callback
    try:
        with suppress(SystemExit):  # typer ends the program here, where ours still has its streams to put back
            callback(ctx, option, shell)
    except OSError as error:
        raise DiskError(f"{option.opts[0]}: {error}") from None
    ctx.exit()


def _detected(option: str) -> str:
    from shellingham import ShellDetectionFailure, detect_shell

    with suppress(ShellDetectionFailure):
        name = str(detect_shell()[0])
        if name in SHELLS:
            return name
    raise click.UsageError(f"cannot tell which shell this is; name it, for instance {option} bash")
