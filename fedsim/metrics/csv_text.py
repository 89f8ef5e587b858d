"""Text in a CSV file that a spreadsheet opens, or a terminal shows: never a formula, and no escapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedsim.core.system.terminal import visible

if TYPE_CHECKING:
    import pandas as pd


def harmless(text: str) -> str:
    """Return a text field that no spreadsheet takes for a formula; numbers are not texts and stay what they are.

    >>> harmless("=1+1"), harmless("fedavg")
    ("'=1+1", 'fedavg')
    """
    guarded = f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
    # a bare carriage return ends a line for some readers, and is not quoted; a terminal is steered by what is left
    return visible(guarded.replace("\r", " "))


def harmless_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts, those of its header among them, are harmless."""

    def cell(value: object) -> object:
        return harmless(value) if isinstance(value, str) else value

    texts = {name: frame[name].map(cell) for name in frame.columns if frame[name].dtype.kind not in "biuf"}
    return frame.assign(**texts).rename(columns=cell)
