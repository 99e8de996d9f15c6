"""Made-up answers of an agent, in the form that the tree's own agent answers in: an action, and perhaps statistics."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from newtfix.model import Unobservable
from newtfix.verify.fakes import Acted, Env
from newtfix.verify.subject import ACTION_DIM, TRUE_ACTION_DIM

ACTING = ("forward", "act", "select_action", "__call__")  # what trees call the method that an agent acts by
_MEAN_NAMES = ("mu", "mean", "action_mean", "pi_mean", "plan_mean")
_STD_NAMES = ("std", "sigma", "action_std", "plan_std")
_NOTED_CALLS = 50


class Answers:
    """Makes answers up: once the tree's own agent was asked, in that form; all numbers differ from one another.

    `asked` are the first calls: the method's name, and what it was given by name. `step` tells the trainer's step.
    """

    def __init__(self, env: Env, step: Callable[[], int]) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._env, self._step = env, step
        self._forms: dict[Any, Any] = {}
        self._asking = False
        self._generator = torch.Generator().manual_seed(2)

    def methods(self, cls: Any) -> dict[str, Callable[..., Any]]:
        """The methods that a class of agents acts by, replaced."""
        names = [name for name in ACTING if any(name in vars(base) for base in cls.__mro__ if _is_own(base))]
        return {name: self.replacing(getattr(cls, name)) for name in names}

    def replacing(self, method: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(method)

        @functools.wraps(method)
        def act(agent: Any, *args: Any, **kwargs: Any) -> Any:
            if self._asking:
                return method(agent, *args, **kwargs)
            given = signature.bind(agent, *args, **kwargs)
            self._note(method.__name__, _by_name(given))
            given.apply_defaults()
            known = _by_name(given)
            key = (method.__name__, *sorted((k, v) for k, v in known.items() if isinstance(v, bool)))
            if key not in self._forms:
                self._forms[key] = self._ask(method, agent, args, kwargs)
            return self._answer(self._forms[key], known)

        return act

    def _note(self, name: str, arguments: dict[str, Any]) -> None:
        if len(self.asked) < _NOTED_CALLS:
            self.asked.append((name, arguments))

    def _ask(self, method: Callable[..., Any], agent: Any, args: Any, kwargs: Any) -> Any:
        self._asking = True
        try:
            return method(agent, *args, **kwargs)
        finally:
            self._asking = False

    def _answer(self, form: Any, given: Mapping[str, Any]) -> Any:
        parts = self._parts(self._env.num_envs)
        answer = shaped(form, parts)
        used = {name for name, tensor in parts.items() if name in _used(form)}
        mpc = given.get("mpc")
        acted = Acted(
            step=self._step(),
            action=parts["action"],
            mu=parts["mu"] if "mu" in used else None,
            std=parts["std"] if "std" in used else None,
            mpc=None if mpc is None else bool(mpc),
            eval_mode=bool(given.get("eval_mode", False)),
            obs=given.get("obs"),
        )
        self._env.note(acted)
        return answer

    def _parts(self, count: int) -> dict[str, Tensor]:
        """Action, mu and std [N, A]; in padded dimensions they are 0, as a planner leaves them."""
        drawn = torch.rand(3, count, ACTION_DIM, generator=self._generator)
        drawn[:2] = drawn[:2] * 2 - 1
        drawn[2] = 0.002 + 1.5 * drawn[2] ** 2
        drawn[..., TRUE_ACTION_DIM:] = 0.0
        return dict(zip(("action", "mu", "std"), drawn.clone(), strict=True))


def _by_name(given: inspect.BoundArguments) -> dict[str, Any]:
    """What a method was given beside its object, by name."""
    found: dict[str, Any] = {}
    for name, value in list(given.arguments.items())[1:]:
        is_rest = given.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        found |= value if is_rest else {name: value}
    return found


def _is_own(base: type) -> bool:
    return not base.__module__.startswith("torch.") and base is not object


def shaped(form: Any, parts: Mapping[str, Tensor]) -> Any:
    """An answer in the form of another one: an action, a tuple that starts with it, or entries by name."""
    if isinstance(form, Tensor):
        return parts["action"].clone()
    if isinstance(form, tuple):
        width = _width(form[0])
        items = [_entry(name, item, parts, width) for name, item in zip(_places(form), form, strict=True)]
        return type(form)(*items) if hasattr(form, "_fields") else tuple(items)
    if isinstance(form, (Mapping, TensorDictBase)):
        return _entries(form, parts, _width(form["action"]))
    raise Unobservable(f"the agent answers with a {type(form).__name__}")


def _places(form: tuple[Any, ...]) -> list[str]:
    return [*("action", "mu", "std"), *[""] * len(form)][: len(form)]


def _width(action: Any) -> Any:
    return getattr(action, "shape", None)


def _entry(name: str, item: Any, parts: Mapping[str, Tensor], width: Any) -> Any:
    if isinstance(item, (Mapping, TensorDictBase)):
        return _entries(item, parts, width)
    return parts[name].clone() if name and isinstance(item, Tensor) else item


def _entries(form: Any, parts: Mapping[str, Tensor], width: Any) -> Any:
    """Entries whose name says what they are, if they are as wide as an action; numbers of the same name are reports."""
    names = [name for name in form.keys() if isinstance(name, str)]  # noqa: SIM118
    found = {name: _meaning(name) if _width(form[name]) == width else "" for name in names}
    values = {name: parts[part].clone() if part else form[name] for name, part in found.items()}
    if "log_std" in values and _width(form["log_std"]) == width:
        values["log_std"] = parts["std"].log()
    if isinstance(form, TensorDictBase):
        return TensorDict(values, batch_size=())
    return values


def _meaning(name: str) -> str:
    if name == "action":
        return "action"
    return "mu" if name in _MEAN_NAMES else "std" if name in _STD_NAMES else ""


def _used(form: Any) -> set[str]:
    """Which of action, mu and std an answer in this form carries."""
    return set(parts_of(form))


def parts_of(answer: Any) -> dict[str, Any]:
    """Action, mu and std of an agent's answer, as far as it has them: mu and std are as wide as the action."""
    found = _named(answer)
    shape = getattr(found.get("action"), "shape", None)
    return {name: item for name, item in found.items() if getattr(item, "shape", None) == shape}


def _named(answer: Any) -> dict[str, Any]:
    if isinstance(answer, Tensor):
        return {"action": answer}
    if isinstance(answer, tuple):
        named = zip(_places(answer), answer, strict=True)
        found = {name: item for name, item in named if name and isinstance(item, Tensor)}
        for item in answer:
            if isinstance(item, (Mapping, TensorDictBase)):
                found |= _named(item)
        return found
    entries = {_meaning(name): answer[name] for name in answer.keys() if isinstance(name, str)}  # noqa: SIM118
    return {name: item for name, item in entries.items() if name}
