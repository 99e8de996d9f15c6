"""The report in the order of the document that newtfix starts from: its nine items, its summary, and what it has wrong.

The document is "Additional Changes in tdmpc_square_public Beyond Documentation"; docs/errata.md corrects it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from newtfix.model import Quantity, State, show
from newtfix.scan.evaluate import ClassCode
from newtfix.scan.facts import Facts

ERRATA: Mapping[int, str] = {
    1: "61 is not the action dimension of dm_control's dog (38), but of HumanoidBench's H1 with two hands",
    2: "the reference's AWAC weight has the opposite sign of the AWAC paper's",
    3: "the reference's log_pi_action takes the raw log-std head, not the bounded one that it samples with",
    5: "the reference itself uses 500-step episodes: 2,500 steps; the ratio is the number of environments",
    6: "the reference's log-probability carries a factor A already: the prior's weight grows as A^2/61",
    7: "prior_coef matters only where a policy loss reads it; in public newt it has no effect online",
    8: "newt's entropy is not the reference's -log pi, and its weights rho are normalised",
    11: "`if step == seed_steps` is seldom true: the step grows by the number of environments",
}
_AWAC = ("awac_lambda", "exp_adv_min", "exp_adv_max")
_LOSS = re.compile(r"_\w*pi_loss")


@dataclass(frozen=True)
class Item:
    """One item of the document: what the tree has there, what the reference has, and where to look.

    `errata` are numbers of the corrections that belong to it; `patches` mend it.
    """

    number: int
    title: str
    rating: str
    patches: tuple[str, ...]
    state: str
    here: str
    reference: str
    where: tuple[str, ...]
    errata: tuple[int, ...]


@dataclass(frozen=True)
class _Subject:
    """An item as the document has it; `settings` are those that it quotes."""

    title: str
    rating: str
    patches: tuple[str, ...]
    here: Callable[[Facts, Mapping[str, Quantity]], str]
    reference: Callable[[Facts, Mapping[str, Quantity]], str]
    settings: tuple[str, ...] = ()
    errata: tuple[int, ...] = ()
    at: str = ""  # whose places are shown, if not those of the patches


def items(facts: Facts, numbers: Mapping[str, Quantity], places: Mapping[str, Sequence[str]]) -> tuple[Item, ...]:
    """The nine items for a tree; `places`, as file:line, are those of each patch and of code by name."""
    return tuple(_item(number, one, facts, numbers, places) for number, one in enumerate(_ITEMS, 1))


def _item(
    number: int,
    one: _Subject,
    facts: Facts,
    numbers: Mapping[str, Quantity],
    places: Mapping[str, Sequence[str]],
) -> Item:
    settings = [facts.settings.source(name) for name in one.settings]
    code = [place for name in ((one.at,) if one.at in places else one.patches) for place in places.get(name, ())]
    where = tuple(dict.fromkeys(place for place in (*code[:_MOST], *settings) if _LINE.search(place)))
    states = dict.fromkeys(facts.state(patch).value for patch in one.patches)
    told = (one.here(facts, numbers), one.reference(facts, numbers))
    return Item(number, one.title, one.rating, one.patches, ", ".join(states), *told, where, one.errata)


_MOST = 3
_LINE = re.compile(r":\d+$")


def summary(facts: Facts, numbers: Mapping[str, Quantity]) -> list[str]:
    """The document's four points that may explain the gap in performance, for this tree."""
    seed, burst, prior = (numbers[name] for name in ("seed_steps", "burst_updates", "prior_coef"))
    return [
        f"seed steps: {_pair(seed)}",
        f"burst when seeding ends: {_pair(burst)}",
        f"mu and std while seeding: {_statistics(facts, numbers)}",
        f"prior_coef: {_pair(prior)} (erratum 7)",
    ]


def _pair(quantity: Quantity) -> str:
    ratio = f", {show(quantity.ratio)}x" if quantity.ratio is not None else ""
    return f"{_here(quantity)} here, {_reference(quantity)} in the reference{ratio}"


def _here(quantity: Quantity) -> str:
    return show(quantity.here, quantity.here_formula or "not known")


def _reference(quantity: Quantity) -> str:
    return show(quantity.reference, quantity.reference_formula or "-")


def _number(key: str) -> Callable[[Facts, Mapping[str, Quantity]], str]:
    return lambda facts, numbers: _here(numbers[key])


def _of_reference(key: str) -> Callable[[Facts, Mapping[str, Quantity]], str]:
    return lambda facts, numbers: _reference(numbers[key])


def _said(text: str) -> Callable[[Facts, Mapping[str, Quantity]], str]:
    return lambda facts, numbers: text


def _if_in(patch: str, there: str, missing: str) -> Callable[[Facts, Mapping[str, Quantity]], str]:
    return lambda facts, numbers: there if facts.state(patch) is State.APPLIED else missing


def _losses(facts: Facts, numbers: Mapping[str, Quantity]) -> str:
    """The policy losses that the agent's class defines."""
    if facts.state("actor-modes") is State.APPLIED:
        return "actor_mode, five"
    names = [name for name in facts.agent.code.methods if _LOSS.fullmatch(name)]
    return ", ".join(names) or "the tree's own"


def loss_lines(code: ClassCode) -> list[int]:
    """The lines on which the policy losses of an agent's class begin."""
    return [method.lineno for name, method in code.methods.items() if _LOSS.fullmatch(name)]


def _statistics(facts: Facts, numbers: Mapping[str, Quantity]) -> str:
    return _wide(facts, numbers) if facts.state("mu-std") is State.APPLIED else "those of the agent, or none"


def _wide(facts: Facts, numbers: Mapping[str, Quantity]) -> str:
    largest = facts.number("log_std_max")
    std = f"{math.exp(largest):.4g}" if largest is not None and largest < 100 else "exp(log_std_max)"
    return f"mu = action, std = {std}"


def _awac(facts: Facts, numbers: Mapping[str, Quantity]) -> str:
    there = [f"{name}={facts.settings.get(name)}" for name in _AWAC if name in facts.settings.names]
    return ", ".join(there) or "none"


def _calls(facts: Facts, numbers: Mapping[str, Quantity]) -> str:
    count = facts.number("num_q")
    calls = "one batched call" if facts.state("q-ensemble") is State.APPLIED else "one call per network"
    return calls if count is None or "batched" in calls else f"{show(count)} calls"


_PLANNER, _ALL_THREE = "the planner", "planner, policy, Q"
_ITEMS = (
    _Subject(
        "seed steps", "critical", ("seeding",), _number("seed_steps"), _of_reference("seed_steps"),
        ("seeding_coef",), (5, 11), "threshold",
    ),
    _Subject("actor modes", "moderate", ("actor-modes",), _losses, _said("sac, awac, residual, bc_sac, bc"),
             ("constrained_planning",), (8,), "losses"),
    _Subject("log_pi_action", "minor", ("actor-modes",), _if_in("actor-modes", "there", "not there"), _said("there"),
             (), (3,), "pi"),
    _Subject("pretraining on seed data", "moderate", ("burst",), _number("burst_updates"),
             _of_reference("burst_updates"), ("utd",), (11,), "tokens"),
    _Subject("what is evaluated", "minor", ("eval-modes",), _if_in("eval-modes", _ALL_THREE, _PLANNER),
             _said(_ALL_THREE)),
    _Subject("mu and std while seeding", "moderate", ("mu-std",), _statistics, _wide, ("log_std_max",)),
    _Subject("Q ensemble", "minor", ("q-ensemble",), _calls, _said("one batched call")),
    _Subject("action dimension in the prior", "moderate", ("prior-norm",), _number("prior_factor"),
             _of_reference("prior_factor"), (), (1, 6)),
    _Subject("settings of AWAC", "minor", ("actor-modes",), _awac, _said("0.3333, 0.1, 10.0"), (), (2,)),
)  # fmt: skip
