"""What a tree's settings and code amount to in numbers, beside those of the reference."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from newtfix.model import Quantity, State, Value, show
from newtfix.scan.behaviour import Expression
from newtfix.scan.evaluate import self_attribute
from newtfix.scan.facts import Facts, Measured, measure

REFERENCE_DIMS = 61  # the divisor of the reference's prior: action dimensions of HumanoidBench's H1 with two hands
REFERENCE_BATCH = 256
EXAMPLE_LENGTH = 500
NO_TERM = "no such term"
_SEED_RULE = "max(1000, 5 L)"


def numbers(facts: Facts) -> dict[str, Quantity]:
    """Every quantity by its key."""
    seed = _seed_steps(facts)
    found = (
        seed,
        _burst(facts, seed),
        *_updates(facts),
        *_prior(facts),
        *_temporal_weights(facts),
        *_annealing(facts),
        _target(facts),
        _lengths(facts),
    )
    return {quantity.key: quantity for quantity in found}


def reference_seed_steps(length: float) -> float:
    """The environment steps after which the reference begins to learn, for episodes of that length."""
    return max(1000, 5 * length)


def _seed_steps(facts: Facts) -> Quantity:
    length = facts.number("episode_length")
    rule = _SEED_RULE
    reference = None if length is None else reference_seed_steps(length)
    key, label = "seed_steps", "environment steps before learning"
    if not facts.trainer.thresholds:
        return Quantity(key, label, None, reference, "no threshold was found in the trainer", "", rule)
    found = [(e, measure(facts, facts.trainer.code, e)) for e in facts.trainer.thresholds]
    expression, first = next(((e, m) for e, m in found if m.value is not None), found[0])
    how = f"{_meaning(facts, expression)} ({_place(expression)}){_with(first)}"
    for other, measured in found:
        if None not in (measured.value, first.value) and measured.value != first.value:
            how += f"; {show(measured.value)} at {_place(other)}"
    formula, example = _seed_formula(facts, expression, first), _seed_example(facts, expression, first)
    return Quantity(key, label, first.value, reference, how, formula, rule, example)


def _meaning(facts: Facts, expression: Expression) -> str:
    """An expression as it stands, and what the attribute that it is was made from."""
    definition = _definition(facts, expression)
    return f"{expression.text} = {definition}" if definition else expression.text


def _definition(facts: Facts, expression: Expression) -> str:
    """What an attribute of the trainer is made from, where that is one thing only."""
    values = facts.trainer.code.attributes.get(self_attribute(expression.node) or "", ())
    texts = {ast.unparse(value) for value, _ in values}
    return texts.pop() if len(texts) == 1 else ""


def _seed_formula(facts: Facts, expression: Expression, measured: Measured) -> str:
    """`50 L` where the number grows with the episode length alone, the reference's rule where it is that, else the
    tree's own expression."""
    if measured.value is not None:
        return ""
    lengths = (1, 2, 1000)
    at = [measure(facts, facts.trainer.code, expression, episode_length=length).value for length in lengths]
    if at[0] and at == [at[0], 2 * at[0], 1000 * at[0]]:
        return f"{show(at[0])} L"
    if at == [reference_seed_steps(length) for length in lengths]:
        return _SEED_RULE
    return (_definition(facts, expression) or expression.text).replace("self.cfg.", "").replace("self.", "")


def _seed_example(facts: Facts, expression: Expression, measured: Measured) -> str:
    if measured.value is not None or measured.missing != "episode_length":
        return ""
    again = measure(facts, facts.trainer.code, expression, episode_length=EXAMPLE_LENGTH)
    if again.value is None:
        return ""
    reference = reference_seed_steps(EXAMPLE_LENGTH)
    ratio = show(again.value / reference)
    return (
        f"for episode_length={EXAMPLE_LENGTH}: {show(again.value)} here, {show(reference)} in the reference ({ratio}x)"
    )


def _burst(facts: Facts, seed: Quantity) -> Quantity:
    key, label = "burst_updates", "updates at once when seeding ends"
    rule = _SEED_RULE
    if facts.state("burst") in (State.AVAILABLE, State.ABSENT):
        return Quantity(key, label, 0, seed.reference, "there is no burst", "", rule)
    found = [(e, measure(facts, facts.trainer.code, e)) for e in facts.trainer.bursts]
    values = [(e, m) for e, m in found if m.value is not None]
    if not found:
        return Quantity(key, label, 0, seed.reference, "no update waits for anything but tokens", "", rule)
    if not values:
        missing = next((m.missing for _, m in found if m.missing == "episode_length"), "")
        how = f"{missing} is not known" if missing else "how many they are was not found in the trainer"
        return Quantity(key, label, None, seed.reference, how, seed.here_formula if missing else "", rule)
    expression, measured = max(values, key=lambda pair: pair[1].value or 0)
    how, value = f"{expression.text} ({_place(expression)}){_with(measured)}", measured.value
    if never := _never_met(facts):
        how, value = never, 0.0
    return Quantity(key, label, value, seed.reference, how, "", rule)


def _never_met(facts: Facts) -> str:
    """What asks for a step by equality that the counter jumps over."""
    step = facts.trainer.step
    grows = measure(facts, facts.trainer.code, step).value if step else None
    for expression in facts.trainer.equal:
        value = measure(facts, facts.trainer.code, expression).value
        if grows and value is not None and value % grows:
            return f"{_place(expression)} waits for step {show(value)}, but the step grows by {show(grows)}: never met"
    return ""


def _updates(facts: Facts) -> Iterator[Quantity]:
    """Updates, and replayed slices, per environment step."""
    trainer = facts.trainer
    key, label = "updates_per_step", "updates per environment step"
    rate, how = None, "how many updates an iteration makes was not found in the trainer"
    if trainer.tokens and trainer.step:
        tokens, step = (measure(facts, trainer.code, part) for part in (trainer.tokens, trainer.step))
        how = f"{trainer.tokens.text} ({_place(trainer.tokens)}) over {trainer.step.text}{_with(tokens)}"
        if tokens.value is not None and step.value:
            rate = tokens.value / step.value
    yield Quantity(key, label, rate, 1.0, how)
    batch = facts.number("batch_size")
    replayed = None if rate is None or batch is None else rate * batch
    how = f"batch_size{f'={show(batch)}' if batch is not None else ' is not known'}; {REFERENCE_BATCH} in the reference"
    yield Quantity("replayed_per_step", "replayed slices per environment step", replayed, float(REFERENCE_BATCH), how)


def _prior(facts: Facts) -> Iterator[Quantity]:
    coefficient = facts.number("prior_coef")
    source, remark = facts.settings.source("prior_coef"), _without_effect(facts)
    yield Quantity("prior_coef", "prior_coef", coefficient, 1.0, source, remark=remark)
    dims = facts.tasks.action_dims
    factors = _one_or_all([a / REFERENCE_DIMS for a in dims])
    state = facts.state("prior-norm")
    width = facts.number("action_dim")  # what actions are padded to
    padded = None if width is None else width / REFERENCE_DIMS
    here = {State.APPLIED: factors, State.AVAILABLE: 1.0, State.PARTIAL: padded}.get(state)
    formula = {State.APPLIED: "A/61", State.ABSENT: NO_TERM, State.PARTIAL: "width/61"}.get(state, "")
    known = f"A={', '.join(map(str, dims))}" if dims else "the action dimension A is not known"
    example = "" if dims else f"for A=21: {show(21 / REFERENCE_DIMS)} in the reference"
    yield Quantity("prior_factor", "factor of the prior term", here, factors, known, formula, "A/61", example)
    yield _prior_weight(facts, coefficient)


def _without_effect(facts: Facts) -> str:
    if not facts.agent.prior_is_zero:
        return ""
    readers = " and ".join(facts.agent.prior_readers)
    return f"It is read in {readers} alone, where the prior loss is 0 online: no effect until another loss reads it."


def _prior_weight(facts: Facts, coefficient: float | None) -> Quantity:
    """The weight of the Gaussian exponent: the reference's log-probability carries a factor A of its own."""
    dims = facts.tasks.action_dims
    here: Value = None
    how, formula = "the tree's log-probability is not the reference's: not comparable", ""
    if facts.state("prior-norm") is State.ABSENT and not facts.agent.has_reference_logprob:
        how, formula = "prior_coef A^2/61 in the reference", NO_TERM
    if facts.agent.has_reference_logprob and coefficient is not None and facts.state("prior-norm") is not State.PARTIAL:
        scaled = facts.state("prior-norm") is State.APPLIED
        here = _one_or_all([coefficient * a * (a / REFERENCE_DIMS if scaled else 1) for a in dims])
        how = "prior_coef A^2/61" if scaled else "prior_coef A, for the log-probability carries a factor A"
    reference = _one_or_all([a * a / REFERENCE_DIMS for a in dims])
    example = "" if dims else f"for A=21: {show(21 * 21 / REFERENCE_DIMS)} in the reference"
    return Quantity("prior_weight", "weight of the prior's exponent", here, reference, how, formula, "A^2/61", example)


def _one_or_all(values: list[float]) -> Value:
    return None if not values else values[0] if len(values) == 1 else tuple(values)


def _temporal_weights(facts: Facts) -> Iterator[Quantity]:
    """The weight of each step of a loss, and of all steps together; the reference divides by the horizon."""
    rho, horizon = facts.number("rho"), facts.number("horizon")
    label = "weights of the steps of a loss"
    if rho is None or horizon is None or not 0 < horizon <= 1000:
        yield Quantity("temporal_weights", label, None, None, "rho or horizon is not known", "", "rho^t/H")
        return
    steps = int(horizon)
    reference = [rho**t / steps for t in range(steps)]
    here, how = _weights_here(facts, rho, steps)
    yield Quantity(
        "temporal_weights", label, tuple(here) if here else None, tuple(reference), f"rho={rho:g}, H={steps}; {how}"
    )
    yield Quantity("loss_weight", "weight of a loss in all", sum(here) if here else None, sum(reference), "their sum")


def _weights_here(facts: Facts, rho: float, steps: int) -> tuple[list[float], str]:
    agent, state = facts.agent, facts.state("rho")
    if state is State.APPLIED:
        return [rho**t / steps for t in range(steps)], "not normalised, averaged over H"
    count = measure(facts, agent.code, agent.entries).value if agent.entries else None
    if state is not State.AVAILABLE or not count or not agent.weights or count > 1000:
        return [], "how the losses are averaged was not recognised"
    powers = [rho**t for t in range(int(count))]
    total = sum(powers) if agent.normalised else 1.0
    said = f"{int(count)} weights, divided by their sum" if agent.normalised else "not normalised"
    return [power / total for power in powers[:steps]], f"{said} ({_place(agent.weights[-1])}), added up"


def _annealing(facts: Facts) -> Iterator[Quantity]:
    start, final = facts.number("constraint_start_step"), facts.number("constraint_final_step")
    if start is None or final is None:
        return
    state = facts.state("plan-anneal")
    here = {State.APPLIED: final, State.AVAILABLE: start + final}.get(state)
    how = f"constraint_start_step={show(start)}; constraint_final_step={show(final)} is where it is meant to end"
    remark = ""
    if facts.settings.get("constrained_planning") in (False, 0) and "constrained_planning" in facts.settings.found:
        how += "; off with constrained_planning=" + str(facts.settings.get("constrained_planning"))
        remark = "It has no effect with constrained_planning off."
    yield Quantity("annealing_end", "end of the planner's annealing", here, final, how, remark=remark)


def _target(facts: Facts) -> Quantity:
    compiled, state = facts.settings.get("compile"), facts.state("target-q")
    key, label = "target_networks", "target networks in use"
    if state in (State.APPLIED, State.ABSENT):
        return Quantity(key, label, True, True, "")
    if state is not State.AVAILABLE or not isinstance(compiled, bool):
        return Quantity(key, label, None, True, "compile is not known" if compiled is None else "not recognised")
    return Quantity(key, label, not compiled, True, f"compile={compiled} ({facts.settings.source('compile')})")


def _lengths(facts: Facts) -> Quantity:
    lengths, count = facts.tasks.lengths, len(facts.tasks.names)
    tasks = f"{count} {'task' if count == 1 else 'tasks'}" if count else "tasks not known"
    how = f"{tasks}; {show(lengths)} steps" if lengths else f"{tasks}; lengths not known"
    return Quantity("episode_lengths", "different episode lengths", len(lengths) or None, None, how)


def _place(expression: Expression) -> str:
    return f"{expression.place.file}:{expression.place.line}"


def _with(measured: Measured) -> str:
    used = {name: value for name, value in measured.used.items() if value is not None}
    known = [f"{name}={show(value) if isinstance(value, (int, float)) else value}" for name, value in used.items()]
    missing = f"{measured.missing} is not known" if measured.missing else ""
    return (f" with {', '.join(known)}" if known else "") + (f"; {missing}" if missing else "")
