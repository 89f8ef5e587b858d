"""What a run keeps of foreign code: copies of its files, and the traceback where it raised."""

from __future__ import annotations

from fedsim.core import FedsimError
from fedsim.core.system.files import atomic_write, told_plainly
from fedsim.engine.run.folder import CODE, ERROR_LOG, RunFolder
from fedsim.scenario import Scenario
from fedsim.scenario.foreign import code


def keep_code(folder: RunFolder, scenario: Scenario) -> None:
    """Copy the Python files of a run's references into its folder, where they stay whatever becomes of them."""
    folder.file(ERROR_LOG).unlink(missing_ok=True)  # of a session before this one
    for name, path in code(scenario).items():
        place = folder.file(CODE) / name
        with told_plainly(folder.path):
            place.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(place, path.read_bytes())


def keep_traceback(folder: RunFolder, error: BaseException) -> None:
    """Write the whole traceback of foreign code that raised beside the results."""
    if isinstance(error, FedsimError) and error.details and folder.held():
        atomic_write(folder.file(ERROR_LOG), error.details.encode("utf-8", "replace"))
