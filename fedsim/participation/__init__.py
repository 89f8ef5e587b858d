"""Floor 1: who is there, round by round. A seeded process of the world, the same for every strategy of a comparison."""

from fedsim.participation.config import Participation
from fedsim.participation.laws import laws
from fedsim.participation.processes import AnyParticipation, catalogue
from fedsim.participation.schedules.hash import ScheduleHash, hash_so_far, schedule_hash

__all__ = [
    "AnyParticipation",
    "Participation",
    "ScheduleHash",
    "catalogue",
    "hash_so_far",
    "laws",
    "schedule_hash",
]
