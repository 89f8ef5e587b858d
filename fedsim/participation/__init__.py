"""Floor 1: who is there, round by round. A seeded process of the world, the same for every strategy of a comparison."""

from fedsim.participation.bernoulli import Bernoulli
from fedsim.participation.config import Participation
from fedsim.participation.full import Full
from fedsim.participation.schedule import Schedule
from fedsim.participation.uniform import Uniform

__all__ = ["Participation", "catalogue"]


def catalogue() -> dict[str, type[Participation]]:
    """Return every process by the word that chooses it in `participation: {kind: ...}`."""
    return {"full": Full, "uniform": Uniform, "bernoulli": Bernoulli, "schedule": Schedule}
