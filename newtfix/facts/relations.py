"""Whether a tree keeps what a patch relies on: the relations by name, as patches write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from newtfix.errors import PatchError
from newtfix.facts import (
    apart,
    around,
    beside,
    calls,
    closed,
    elsewhere,
    exact,
    losses,
    parameters,
    parts,
    reads,
    rows,
    settings,
    taken,
    terms,
    there,
    turns,
)
from newtfix.facts.unchanged import goes_only_to, never_changed, reaches, unchanged
from newtfix.facts.words import sentence
from newtfix.model import Fact
from newtfix.newt.deciding import CALLERS, GIVEN
from newtfix.newt.ends import ENDS
from newtfix.newt.places import Start
from newtfix.newt.starts import STARTS
from newtfix.newt.tree import Broken, NewtTree

T = TypeVar("T")
_REMEMBERED = 256
_TOLD: dict[tuple[frozenset[tuple[str, str]], tuple[Fact, ...]], Broken | None] = {}  # what was said of a tree
_DOCS = "docs/patches.md lists the relations and what each is about"


def broken(tree: NewtTree, facts: tuple[Fact, ...]) -> Broken | None:
    """The first of some facts that a tree breaks, and where; None: it keeps them all."""
    key = (tree.key, facts)
    if key not in _TOLD:
        while len(_TOLD) >= _REMEMBERED:
            del _TOLD[next(iter(_TOLD))]
        _TOLD[key] = _broken(tree, facts)
    return _TOLD[key]


def _broken(tree: NewtTree, facts: tuple[Fact, ...]) -> Broken | None:
    for fact in facts:
        relation = _known(fact.relation, RELATIONS, "relation")
        try:
            found = relation(tree, fact)
        except (TypeError, ValueError) as problem:
            where = f"Fact({fact.relation!r}, {fact.about!r})"
            raise PatchError("a fact of a patch does not say what it is about", where=where, hint=_DOCS) from problem
        if found is not None:
            return replace(found, relies=sentence(fact))
    return None


def _known(name: str, kinds: Mapping[str, T], what: str) -> T:
    if name not in kinds:
        raise PatchError(f"no {what} is called {name!r}", where=f"there are {', '.join(kinds)}", hint=_DOCS)
    return kinds[name]


def _made(tree: NewtTree, made: str) -> list[Start]:
    """Where something is made, and nothing is computed of it at once."""
    return [start for start in _known(made, STARTS, "start")(tree) if start.as_made]


def _unchanged(tree: NewtTree, fact: Fact) -> Broken | None:
    role, made, used = fact.about
    one = made.startswith("the total")
    what = f"{made} is changed before it is {used}" if one else f"{made} are changed before they are {used}"
    return unchanged(
        tree,
        role,
        list(_known(made, STARTS, "start")(tree)),
        list(_known(used, ENDS, "end")(tree)),
        frozenset(fact.keys) or None,
        what,
    )


def _reaches(tree: NewtTree, fact: Fact) -> Broken | None:
    role, made, used = fact.about
    starts, ends = _made(tree, made), _known(used, ENDS, "end")(tree)
    return reaches(tree, role, starts, list(ends), f"other things than {made} are {used}")


def _never_changed(tree: NewtTree, fact: Fact) -> Broken | None:
    role, made = fact.about
    return never_changed(tree, role, _made(tree, made), f"{made} are changed")


def _goes_only_to(tree: NewtTree, fact: Fact) -> Broken | None:
    role, made, called = fact.about
    return goes_only_to(tree, role, _made(tree, made), called, f"{made} do not go to {called} alone")


def _taken_as_given(tree: NewtTree, fact: Fact) -> Broken | None:
    role, method, *but = fact.about
    return taken.taken_as_given(tree, role, method, frozenset(fact.keys) or None, by_row="row by row" in but)


def _about(relation: Callable[..., Broken | None]) -> Callable[[NewtTree, Fact], Broken | None]:
    return lambda tree, fact: relation(tree, *fact.about)


RELATIONS: Mapping[str, Callable[[NewtTree, Fact], Broken | None]] = {
    "unchanged": _unchanged,
    "taken_as_given": _taken_as_given,
    "leaves_as_given": _about(taken.leaves_as_given),
    "takes_any_length": _about(taken.takes_any_length),
    "written_only_in": _about(reads.written_only_in),
    "bound_only_in": _about(reads.bound_only_in),
    "not_read_by": _about(reads.not_read_by),
    "used_as_it_is": _about(reads.used_as_it_is),
    "read_only_in": _about(settings.read_only_in),
    "asked_alike": _about(settings.asked_alike),
    "not_under": _about(settings.not_under),
    "only_calls": lambda tree, f: calls.only_calls(
        tree, f.about[0], f.about[1], _known(f.about[2], CALLERS, "place"), f.about[2]
    ),
    "once": _about(calls.once),
    "ends_after": _about(calls.ends_after),
    "handed_only_to": _about(calls.handed_only_to),
    "selects_all": _about(there.selects_all),
    "numbers_each": _about(there.numbers_each),
    "not_handed_to": _about(there.not_handed_to),
    "takes_bare": _about(there.takes_bare),
    "copies_at_once": _about(taken.copies_at_once),
    "set_once": _about(there.set_once),
    "draws_nothing": _about(apart.draws_nothing),
    "computed_nowhere": _about(apart.computed_nowhere),
    "reads_attributes": _about(apart.reads_attributes),
    "names_no_number": _about(apart.names_no_number),
    "draws_evenly": _about(apart.draws_evenly),
    "maps_randomly": _about(apart.maps_randomly),
    "not_told_apart": _about(apart.not_told_apart),
    "ranges_by": _about(apart.ranges_by),
    "bounded_below": _about(apart.bounded_below),
    "compared_alone": _about(apart.compared_alone),
    "asked_within": _about(apart.asked_within),
    "begins_by_setting": _about(apart.begins_by_setting),
    "without_alternatives": _about(apart.without_alternatives),
    "shares_no_function": _about(apart.shares_no_function),
    "called_before": _about(calls.called_before),
    "never_changed": _never_changed,
    "goes_only_to": _goes_only_to,
    "first_is": _about(parts.first_is),
    "called_whole": _about(parts.called_whole),
    "never_under": _about(reads.never_under),
    "each_divides": _about(losses.each_divides),
    "attribute_only_in": _about(reads.attribute_only_in),
    "calls_no": _about(parts.calls_no),
    "plain": _about(exact.plain),
    "uses_only": _about(losses.uses_only),
    "nothing_else_with": _about(calls.nothing_else_with),
    "within": lambda tree, f: calls.within(
        tree, f.about[0], f.about[1], _known(f.about[2], GIVEN, "condition"), f.about[2]
    ),
    "only_called_by": lambda tree, f: calls.only_called_by(tree, f.about[0], f.about[2:], f.about[1:2]),
    "only_named_in": _about(calls.only_named_in),
    "asks_only": lambda tree, f: calls.asks_only(tree, f.about[0], f.about[1], f.about[3:], f.about[2]),
    "made_once": _about(calls.made_once),
    "once_a_turn": lambda tree, f: calls.once_a_turn(
        tree, f.about[0], _known(f.about[1], ENDS, "end")(tree), f"rows are {f.about[1]}"
    ),
    "only_kept": _about(turns.only_kept),
    "trains_once_nowhere": _about(turns.trains_once_nowhere),
    "repeated_by": _about(turns.repeated_by),
    "same_for_all_episodes": _about(turns.same_for_all_episodes),
    "decided_once": _about(calls.decided_once),
    "matters": _about(parameters.matters),
    "bounds_keep": lambda tree, f: parameters.bounds_keep(tree, f.about[0], f.about[1], f.about[2:]),
    "not_scaled": _about(settings.not_scaled),
    "written_whole": _about(rows.written_whole),
    "taken_as_stored": _about(rows.taken_as_stored),
    "read_only_after": _about(reads.read_only_after),
    "flat": _about(rows.flat),
    "alike": _about(parts.alike),
    "reaches": _reaches,
    "set_plainly": _about(settings.set_plainly),
    "is_number": _about(settings.is_number),
    "weighs_only": _about(settings.weighs_only),
    "cut_only": _about(rows.cut_only),
    "decided_by": _about(exact.decided_by),
    "only_of": _about(exact.only_of),
    "read_once": _about(exact.read_once),
    "ends_by_setting": _about(parameters.ends_by_setting),
    "normalised_last": _about(losses.normalised_last),
    "has_powers": _about(losses.has_powers),
    "adds_nothing": _about(losses.adds_nothing),
    "no_exponent": _about(exact.no_exponent),
    "hands_on": _about(exact.hands_on),
    "split_at_once": _about(exact.split_at_once),
    "paid_in": _about(reads.paid_in),
    "indexes_alone": _about(rows.indexes_alone),
    "drops_nothing": _about(parts.drops_nothing),
    "called_nowhere": _about(parts.called_nowhere),
    "undisturbed": _about(exact.undisturbed),
    "only_checks": _about(exact.only_checks),
    "not_asserted": _about(exact.not_asserted),
    "summed_only": _about(losses.summed_only),
    "never_none": _about(parameters.never_none),
    "not_named": _about(parts.not_named),
    "none_derived": _about(parts.none_derived),
    "none_replaced": _about(parts.none_replaced),
    "taken_together": _about(parts.taken_together),
    "divided_only_by": lambda tree, f: losses.divided_only_by(tree, f.about[0], f.about[1:4], *f.about[4:]),
    "called_only_in": _about(exact.called_only_in),
    "called_for": _about(exact.called_for),
    "reached": _about(exact.reached),
    "one_name_for": _about(exact.one_name_for),
    "not_asked_before": _about(around.not_asked_before),
    "counts_rows": _about(rows.counts_rows),
    "cut_from_first": _about(rows.cut_from_first),
    "cut_by_environment": _about(rows.cut_by_environment),
    "not_selected": _about(around.not_selected),
    "reads": _about(around.reads),
    "loaded_only_for": _about(around.loaded_only_for),
    "at_one_place": _about(around.at_one_place),
    "passes_mode": _about(around.passes_mode),
    "handed_as_sampled": _about(around.handed_as_sampled),
    "begins_rows": _about(around.begins_rows),
    "returns_unscaled": _about(around.returns_unscaled),
    "set_in_no_derived": _about(parts.set_in_no_derived),
    "asks_beside": _about(around.asks_beside),
    "not_derived": _about(parts.not_derived),
    "refuses_nothing": _about(around.refuses_nothing),
    "not_overridden": _about(around.not_overridden),
    "updated_only_in": _about(around.updated_only_in),
    "scaled_by": _about(losses.scaled_by),
    "asked_once": _about(around.asked_once),
    "reads_only": _about(around.reads_only),
    "columns_in_order": _about(closed.columns_in_order),
    "not_read_in": _about(closed.not_read_in),
    "only_called": _about(closed.only_called),
    "begins_anew": _about(closed.begins_anew),
    "no_logarithm": _about(closed.no_logarithm),
    "set_nowhere_else": _about(closed.set_nowhere_else),
    "not_compared": _about(closed.not_compared),
    "weighs_plainly": _about(closed.weighs_plainly),
    "not_given_by_hand": _about(closed.not_given_by_hand),
    "independent": _about(beside.independent),
    "subtracted": _about(beside.subtracted),
    "plain_value": _about(beside.plain_value),
    "reads_what_it_sets": _about(beside.reads_what_it_sets),
    "read_by_none": _about(beside.read_by_none),
    "made_by_library": _about(beside.made_by_library),
    "leaves_no_trace": _about(beside.leaves_no_trace),
    "counts_all": _about(settings.counts_all),
    "holds_only": _about(beside.holds_only),
    "not_set_by_name": _about(beside.not_set_by_name),
    "asks_for_none": _about(beside.asks_for_none),
    "stepped_at_one_place": _about(beside.stepped_at_one_place),
    "undecorated": _about(beside.undecorated),
    "never_added": _about(beside.never_added),
    "keeps_first": _about(beside.keeps_first),
    "not_spread": _about(beside.not_spread),
    "computes_plainly": _about(beside.computes_plainly),
    "not_a_logarithm": _about(beside.not_a_logarithm),
    "alone_in_loop": _about(beside.alone_in_loop),
    "drops_first": _about(beside.drops_first),
    "made_of": _about(parts.made_of),
    "only_compared": _about(beside.only_compared),
    "function_calls": _about(beside.function_calls),
    "not_accumulated": _about(terms.not_accumulated),
    "not_rebound": _about(terms.not_rebound),
    "not_replaced": _about(terms.not_replaced),
    "only_replaced": _about(terms.only_replaced),
    "ordered": _about(terms.ordered),
    "told_as_step": _about(terms.told_as_step),
    "scales_noise": _about(terms.scales_noise),
    "drawn_from_no_noise": _about(terms.drawn_from_no_noise),
    "no_number_scales": _about(terms.no_number_scales),
    "not_remade": _about(terms.not_remade),
    "not_mixed": _about(terms.not_mixed),
    "not_filled": _about(terms.not_filled),
    "chosen_by": _about(terms.chosen_by),
    "without_deadline": _about(elsewhere.without_deadline),
    "averages_nowhere": _about(elsewhere.averages_nowhere),
    "asks_not_for": _about(elsewhere.asks_not_for),
    "saves_all": _about(elsewhere.saves_all),
    "decided_without": _about(elsewhere.decided_without),
    "copied_with_nothing_compiled": _about(elsewhere.copied_with_nothing_compiled),
    "alone_of_its_name": _about(elsewhere.alone_of_its_name),
    "traceable": _about(elsewhere.traceable),
    "begun_only": lambda tree, f: calls.begun_only(
        tree, f.about[0], f.about[1], _known(f.about[2], GIVEN, "condition"), f.about[2]
    ),
    "always": lambda tree, f: calls.always(
        tree, f.about[0], f.about[1], _known(f.about[2], GIVEN, "condition"), f.about[2]
    ),
}
