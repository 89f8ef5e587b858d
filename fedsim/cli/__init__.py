"""Floor 4: the command line. One file a command; heavy imports stay inside the commands.

A command is a plain function with typer's annotations. It is loaded when it is called and not before, so that
`fedsim --help` and `fedsim validate` need neither torch nor ray.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import TextIOWrapper
from typing import TextIO, cast

import click

from fedsim.cli import completion
from fedsim.cli.commands import Commands
from fedsim.core import CapacityError, FedsimError
from fedsim.core.system.signals import Stopped, listener
from fedsim.core.system.terminal import Rim

COMMANDS: dict[str, tuple[str, str]] = {
    "new": ("fedsim.cli.scenario.new:new", "Write a commented scenario to start from."),
    "demo": ("fedsim.cli.run.demo:demo", "Run the quickstart scenario, in one process, with no file."),
    "validate": ("fedsim.cli.scenario.validate:validate", "Check scenarios and print everything that is wrong."),
    "run": ("fedsim.cli.run.run:run", "Run a scenario and leave its results in a folder."),
    "resume": ("fedsim.cli.run.resume:resume", "Continue a run after any stop, with the same bits."),
    "verify": ("fedsim.cli.study.verify:verify", "Train some rounds of a run again and compare the bits."),
    "check": ("fedsim.cli.study.check:check", "Try every law on a rule, a process, local work or a Flower strategy."),
    "compare": ("fedsim.cli.study.compare:compare", "Compare strategies on the same absences, paired over seeds."),
    "sweep": ("fedsim.cli.study.sweep:sweep", "Run every combination of the values under `sweep:`."),
    "reproduce": ("fedsim.cli.study.reproduce:reproduce", "Run a paper's set-up, with a verdict on every claim."),
    "plan": ("fedsim.cli.study.plan:plan", "Show what a run would take: cohorts, memory, time."),
    "data": ("fedsim.cli.scenario.data:data", "Show how the data is split over the clients."),
    "participation": ("fedsim.cli.scenario.participation:participation", "Show who would be there, before training."),
    "schedule": ("fedsim.cli.scenario.schedule:schedule", "Write the schedule of a scenario into a file."),
    "profile": ("fedsim.cli.study.profile:profile", "Run a few rounds and show where their time goes."),
    "runs": ("fedsim.cli.results.runs:runs", "List the runs in a store."),
    "tag": ("fedsim.cli.results.tag:tag", "Tag a run, with a note, to find it again."),
    "delete": ("fedsim.cli.results.delete:delete", "Delete runs from a store, for good."),
    "report": ("fedsim.cli.results.report:report", "Write runs as one page or picture, to attach to a paper."),
    "export": ("fedsim.cli.results.export:export", "Write the metrics of runs as CSV or Parquet."),
    "serve": ("fedsim.cli.results.serve:serve", "Serve a live page of all runs, and the same as REST."),
    "flower-app": ("fedsim.cli.run.flower_app:flower_app", "Run an unmodified Flower app on this engine."),
    "list": ("fedsim.cli.scenario.listing:listing", "List strategies, datasets, processes, models, ..."),
    "schema": ("fedsim.cli.scenario.schema:schema", "Print the JSON Schema of scenario files, for editors."),
}
"""Every command: where it is, as module:function, and its line in `fedsim --help`."""

INTERRUPTED = 130
BROKEN_PIPE = 141


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"fedsim {version('fedsim-lab')}")
        ctx.exit()


_commands = Commands(
    COMMANDS,
    name="fedsim",
    help="Federated learning when clients come and go: reproducible bits, measured variance.",
    epilog="`fedsim COMMAND --help` explains a command.",
    no_args_is_help=True,
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_version,
            help="Print the version and exit.",
        ),
        *completion.options(),
    ],
)


def _never_refuse_a_letter() -> None:
    """Have a terminal that is not UTF-8 show `?` for what it has no letter for, instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; every error of ours is plain lines on stderr."""
    _never_refuse_a_letter()
    with redirect_stdout(cast(TextIO, Rim(sys.stdout))), redirect_stderr(cast(TextIO, Rim(sys.stderr))):
        return _called(args)


def _called(args: Sequence[str] | None) -> int:
    answered = completion.answered(_commands)
    if answered is not None:
        return answered
    try:
        with listener().caught():
            with _commands.make_context("fedsim", list(sys.argv[1:] if args is None else args)) as context:
                _commands.invoke(context)
            sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except FedsimError as error:
        click.echo(str(error), err=True)
        return error.exit_code
    except Stopped as stop:
        with suppress(OSError):  # the terminal may be what has gone
            click.echo(str(stop), err=True)
        return stop.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # the reader went away, as in `fedsim list | head -1`; python would complain once more at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        click.echo(f"no file can be opened any more: {error.strerror}; `ulimit -n` says how many may be", err=True)
        return CapacityError.exit_code
    return 0
