"""What an import of version one's packages is told: `strategies` and `clients` live inside fedsim now."""

from __future__ import annotations

import sys
from collections.abc import Sequence


class Renamed:
    """The last of Python's finders: asked only for what nobody else has, so that a user's own folder comes first."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        """Raise ModuleNotFoundError with the new name of an old package; leave everything else alone."""
        if name in ("strategies", "clients"):
            raise ModuleNotFoundError(
                f"No module named {name!r}; what fedsim had there is fedsim.{name} now", name=name
            )


def tell_of_new_names() -> None:
    """Have Python tell whoever imports an old name what the new one is."""
    if Renamed not in sys.meta_path:
        sys.meta_path.append(Renamed)
