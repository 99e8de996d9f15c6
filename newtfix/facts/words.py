"""What a patch relies on, in words: one sentence for each fact."""

from __future__ import annotations

from collections.abc import Sequence

from newtfix.model import Fact

# {0}, {1} … are what the fact is about; {all} and {either} list the rest, {parts} and {given} the entries.
SENTENCES = {
    "unchanged": "{parts}{1} {are} unchanged when {2}",
    "taken_as_given": "`{1}` of the {0} does not change {given}",
    "takes_any_length": "`{1}` of the {0} takes parts as it takes whole episodes",
    "written_only_in": "`{1}` is set in {all} alone",
    "not_read_by": "`{1}` is not read by {either}",
    "used_as_it_is": "nothing normalises `{1}` again",
    "read_only_in": "`{0}` is read in {all} alone",
    "asked_alike": "`{1}` is compared with one bound everywhere",
    "not_under": "nothing takes {either} of `{0}`",
    "only_calls": "`{1}` is called only {2}",
    "once": "`{1}` calls {all} once",
    "never_changed": "nothing writes into {1}",
    "goes_only_to": "{1} go to `{2}` and nowhere else",
    "first_is": "`{1}` begins with a `{3}`",
    "called_whole": "`{1}` takes none of `{2}` apart",
    "never_under": "",  # by the operator
    "each_divides": "every `{1}` gives what `{2}` returns straight to `{3}`",
    "attribute_only_in": "`{0}` is read in {all} alone",
    "calls_no": "`{1}` calls no {either}",
    "plain": "`{1}` gives `{2}` what {either} made, and nothing made of it",
    "uses_only": "`{1}` does nothing of its own, as it is replaced whole",
    "nothing_else_with": "`{1}` does nothing with `{2}` but call `{3}`",
    "within": "`{1}` is called as soon as {2}",
    "only_called_by": "`{1}` alone calls {all}",
    "only_named_in": "`{0}` is called in {all} alone",
    "asks_only": "code with `{2}` asks `{1}` for nothing but {all}",
    "made_once": "`{2}` is copied once",
    "decided_once": "whether `{1}` is called is decided once",
    "matters": "`{1}` looks at `{2}`",
    "bounds_keep": "`{1}` does not change {either}",
    "not_scaled": "nothing scales `{1}` or sets it anew",
    "written_whole": "rows of `{1}` are written whole",
    "taken_as_stored": "the {0} gives `{1}` as it was stored",
    "read_only_after": "`{1}` is read behind `{2}` only",
    "reaches": "only {1} are {2}",
    "set_plainly": "nothing computes another {either}",
    "is_number": "`{0}` is a number, and no other default is made of it",
    "weighs_only": "`{1}` weighs the prior in the policy losses, and nothing else",
    "cut_only": "`{1}` is read column by column",
    "decided_by": "`{2}` alone decides in `{1}`",
    "only_of": "`{1}` asks {either} for `{2}`",
    "read_once": "`{1}` reads `{2}` once",
    "ends_by_setting": "no call gives `{0}` a duration",
    "adds_nothing": "`{1}` adds nothing to what `{2}` returns",
    "undisturbed": "nothing is done to `{2}` around `{1}`",
    "only_checks": "`{1}` is one check",
    "not_asserted": "no check ends a run over `{1}`",
    "summed_only": "what `{1}` returns is averaged nowhere",
    "never_none": "`{1}` is always given its `{2}`",
    "taken_together": "nobody takes one of `{0}` by itself",
    "divided_only_by": "`{1}`, `{2}` and `{3}` are averaged nowhere else",
    "called_only_in": "`{1}` is called in policy losses alone",
    "reached": "`{1}` always calls `{2}`",
    "one_name_for": "one attribute holds `{2}`",
    "begun_only": "episodes begin anew only when {2}",
    "split_at_once": "`{1}` gives two halves",
    "paid_in": "`{1}` is added to and taken from, and set to nothing else",
    "indexes_alone": "nothing is kept beside `{1}`, row by row",
    "drops_nothing": "`{1}` drops no units yet",
    "called_nowhere": "nothing calls {either}",
    "once_a_turn": "rows are {1} at one place of a loop",
    "trains_once_nowhere": "`{1}` trains at no step alone",
    "flat": "the index of `{1}` has one dimension",
    "alike": "all of `{2}` are made and used alike",
    "columns_in_order": "column i of `{1}` is environment i",
    "not_read_in": "the {1} does not read `{0}`",
    "only_called": "`{1}` is a network and nothing more",
    "begins_anew": "first rows of `{1}` are written where episodes begin",
    "no_logarithm": "{all} return no logarithms",
    "set_nowhere_else": "nothing but its default sets `{0}` to other than {1}",
    "not_compared": "`{0}` is no bound, and has none",
    "weighs_plainly": "`{1}` is the same all the time",
    "not_counted": "`{1}` does the same each time",
    "not_given_by_hand": "nothing is put into {either}",
    "independent": "{all} do the same each time",
    "subtracted": "the term of `{2}` is taken away from the loss",
    "plain_value": "`{0}` uses `{1}` as it is",
    "read_by_none": "nothing reads a `{0}` yet",
    "made_by_library": "`{1}` is of no class of the tree's own",
    "leaves_no_trace": "`{1}` changes nothing",
    "never_divides": "nothing is divided by `{1}`",
    "counts_all": "`{1}` counts steps by {all} alone",
    "holds_only": "`{1}` has no networks beside `{2}`",
    "not_set_by_name": "`{2}` is named in `{1}` alone, and set nowhere",
    "asks_for_none": "`{1}` asks {all} for nothing",
    "stepped_at_one_place": "`{1}` is called at one place beside evaluations",
    "undecorated": "`{1}` is not wrapped",
    "never_added": "`{0}` and `{1}` are not added up",
    "keeps_first": "what `{1}` makes of the first is used",
    "not_spread": "what `{0}` returns is unpacked by name",
    "computes_plainly": "`{1}` does not scale what it returns",
    "not_a_logarithm": "`{1}` is bounded as it is",
    "alone_in_loop": "nothing but `{1}` is done in its loop",
    "drops_first": "layers drop units before anything else",
    "made_of": "all of `{2}` are made by {all}",
    "only_compared": "what is made of `{1}` is a bound and nothing else",
    "function_calls": "`{1}` is made of `{2}`",
    "not_asked_before": "nothing asks `{2}` beforehand whether `{1}` are earned",
    "counts_rows": "rows of `{1}` are counted one by one",
    "cut_from_first": "episodes are cut out of `{1}` from the first row on",
    "not_selected": "nothing picks {either} by a part of the name",
    "reads": "`{1}` uses `{2}`",
    "loaded_only_for": "weights are loaded for {all} alone",
    "at_one_place": "`{1}` is used at one place",
    "passes_mode": "{all} are trained when their owner is",
    "updated_only_in": "no other class calls `{1}` of its own",
    "scaled_by": "what `{1}` returns is scaled by `{2}` alone",
    "asked_once": "`{1}` asks {all} once",
    "reads_only": "`{1}` goes by no settings but {all}",
    "always": "`{1}` is called whenever {2}",
}
_OPERATORS = {"Pow": "`{1}` is not raised to a power", "Div": "nothing is divided by `{1}`"}
# How many of the things that a fact is about come before those that are listed; roles are listed as such.
_BEFORE = {
    "plain": 3,
    "only_of": 3,
    "set_plainly": 0,
    "called_nowhere": 0,
    "not_selected": 0,
    "loaded_only_for": 0,
    "passes_mode": 1,
    "made_of": 3,
    "independent": 1,
    "no_logarithm": 1,
    "not_given_by_hand": 0,
    "asks_only": 3,
    "read_only_in": 1,
    "attribute_only_in": 1,
    "only_named_in": 1,
    "not_under": 1,
}


def sentence(fact: Fact) -> str:
    """What a tree must keep, as a sentence."""
    about = [one.strip(".") for one in fact.about]
    form = _OPERATORS[about[2]] if fact.relation == "never_under" else SENTENCES[fact.relation]
    roles = fact.relation in ("read_only_in", "attribute_only_in", "only_named_in")
    listed = [f"the {one}" if roles else f"`{one}`" for one in about[_BEFORE.get(fact.relation, 2) :]]
    keys = [f"`{key}`" for key in fact.keys]
    said = form.format(
        *about,
        all=_listed(listed, "and"),
        either=_listed(listed, "or"),
        parts=f"{_listed(keys, 'and')} of " if keys else "",
        given=_listed(keys, "or") or "what it is given",
        are="is" if about[1:] and about[1].startswith("the total") else "are",
    )
    return f"{said[0].upper()}{said[1:]}."


def _listed(words: Sequence[str], last: str) -> str:
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)
