"""Laws that a rule, or a correction under it, obeys or not: pure functions that tell which hold, and what was seen."""

from fedsim.laws.corrections import controls_are_means, first_round_is_the_rules, reaches_the_optimum
from fedsim.laws.play import Law, Moment, Problem, Verdict, play
from fedsim.laws.rules import bits_repeat, goes_on_from_its_state, keys_are_fixed, survives_empty_rounds

LAWS: tuple[Law, ...] = (bits_repeat, keys_are_fixed, goes_on_from_its_state, survives_empty_rounds)
"""Laws of every rule."""
CORRECTION_LAWS: tuple[Law, ...] = (first_round_is_the_rules, controls_are_means, reaches_the_optimum)
"""Laws of a correction under a rule."""

__all__ = [
    "CORRECTION_LAWS",
    "LAWS",
    "Law",
    "Moment",
    "Problem",
    "Verdict",
    "bits_repeat",
    "controls_are_means",
    "first_round_is_the_rules",
    "goes_on_from_its_state",
    "keys_are_fixed",
    "play",
    "reaches_the_optimum",
    "survives_empty_rounds",
]
