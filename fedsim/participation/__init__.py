"""Floor 1: who is there, round by round. A seeded process of the world, the same for every strategy of a comparison."""

from fedsim.participation.all_of import AllOf
from fedsim.participation.bernoulli import Bernoulli
from fedsim.participation.config import AnyParticipation, Participation
from fedsim.participation.cyclic import Cyclic
from fedsim.participation.full import Full
from fedsim.participation.groups import Groups
from fedsim.participation.laws import laws
from fedsim.participation.markov import Markov
from fedsim.participation.outage import Outage
from fedsim.participation.schedule import Schedule
from fedsim.participation.schedule_hash import ScheduleHash, hash_so_far, schedule_hash
from fedsim.participation.trace import Trace
from fedsim.participation.uniform import Uniform

__all__ = [
    "AnyParticipation",
    "Participation",
    "ScheduleHash",
    "catalogue",
    "hash_so_far",
    "laws",
    "schedule_hash",
]


def catalogue() -> dict[str, type[Participation]]:
    """Return every process by the word that chooses it in `participation: {kind: ...}`."""
    return {
        "full": Full,
        "uniform": Uniform,
        "bernoulli": Bernoulli,
        "markov": Markov,
        "cyclic": Cyclic,
        "schedule": Schedule,
        "trace": Trace,
        "groups": Groups,
        "all_of": AllOf,
        "outage": Outage,
    }
