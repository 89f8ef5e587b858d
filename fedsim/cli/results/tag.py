"""fedsim tag: a word and a note for runs, to find them again."""

from __future__ import annotations

from typing import Annotated

import typer


def tag(
    run: Annotated[str, typer.Argument(help="A run's id, the unique beginning of one, a name, or a run folder.")],
    word: Annotated[str, typer.Argument(metavar="TAG", help="One word; `archived` hides a run from `fedsim runs`.")],
    note: Annotated[str | None, typer.Option(help="A text that goes with the tag.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the tag away.")] = False,
    store: Annotated[str, typer.Option(help="The store: a file, a folder or a URL.")] = "runs/fedsim.db",
) -> None:
    """Tag a run, or all runs of a name; `fedsim runs --tag TAG` lists them."""
    from fedsim.analysis.frames import chosen, open_for_writing
    from fedsim.core.errors import ScenarioError
    from fedsim.store import tags

    if remove and note is not None:
        raise ScenarioError("--note and --remove: a tag that is taken away has no note; say one of them")
    tags.checked(word)
    with open_for_writing(store) as opened:
        ids = [row.run for row in chosen(opened.runs(), [run])]
        if remove:
            count = tags.remove(opened, ids, word)
            if not count:
                raise ScenarioError(f"{run}: has no tag {word}")
            typer.echo(f"{word}: taken from {count} run{'s' if count > 1 else ''}")
            return
        tags.add(opened, ids, word, note)
    typer.echo(f"{word}: {', '.join(ids)}")
