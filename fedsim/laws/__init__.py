"""Laws of rules, corrections, processes, codecs and local work: functions that tell what holds and was seen."""

from fedsim.laws import processes, work
from fedsim.laws.codecs import CODEC_LAWS
from fedsim.laws.corrections import (
    controls_are_means,
    exact_where_claimed,
    first_round_is_the_rules,
    memories_wait,
    off_is_the_rule,
    reaches_the_optimum,
    rows_are_apart,
)
from fedsim.laws.play import Law, Moment, Problem, Verdict, play
from fedsim.laws.rules import (
    bits_repeat,
    goes_on_from_its_state,
    keys_are_fixed,
    survives_empty_rounds,
    writes_to_nothing,
)
from fedsim.laws.sums import adds_up, is_unbiased, moves_by_its_coefficients, stands_alone
from fedsim.laws.symmetries import names_do_not_matter, place_does_not_matter, size_does_not_matter

LAWS: tuple[Law, ...] = (
    bits_repeat,
    writes_to_nothing,
    keys_are_fixed,
    goes_on_from_its_state,
    survives_empty_rounds,
    stands_alone,
    adds_up,
    moves_by_its_coefficients,
    is_unbiased,
    names_do_not_matter,
    place_does_not_matter,
    size_does_not_matter,
)
"""Laws of every rule."""
CORRECTION_LAWS: tuple[Law, ...] = (first_round_is_the_rules, controls_are_means, reaches_the_optimum)
"""Laws of a correction under a rule, claimed or not."""
CLAIMED: tuple[Law, ...] = (
    first_round_is_the_rules,
    controls_are_means,
    off_is_the_rule,
    memories_wait,
    rows_are_apart,
    exact_where_claimed,
)
"""Laws of a correction under a rule, as far as it claims them."""
PROCESS_LAWS = (
    processes.repeats,
    processes.order_does_not_matter,
    processes.ids_are_clients,
    processes.touches_no_generator,
    processes.answers_are_its_own,
    processes.frequencies_are_the_probabilities,
)
"""Laws of a participation process."""
WORK_LAWS = (
    work.is_seeded,
    work.ignores_generators,
    work.has_a_shape,
    work.goes_on_from_its_state,
    work.keeps_what_it_was_given,
    work.ignores_company,
)
"""Laws of local work."""

__all__ = [
    "CLAIMED",
    "CODEC_LAWS",
    "CORRECTION_LAWS",
    "LAWS",
    "PROCESS_LAWS",
    "WORK_LAWS",
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
