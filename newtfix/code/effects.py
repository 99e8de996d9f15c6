"""What calls do to what they are given, as far as their names tell: Python's, torch's and numpy's conventions."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from newtfix.code.syntax import dotted, last_name, walk


class Gives(Enum):
    """What a call gives back of what it was given."""

    ITSELF, COPY, VIEW, CONTAINER, NEW = range(5)


@dataclass(frozen=True)
class Effect:
    """What a call does: whether it changes its owner, which arguments (by position or keyword), and what it gives."""

    changes_owner: bool = False
    changes: tuple[int | str, ...] = ()
    gives: Gives = Gives.NEW
    only_reads: bool = False  # also where nothing is done with its result
    only_takes: bool = False  # its owner changes by what it is given, which stays what it is


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Attributes that are the tensor itself, and those that say something about it.
SAME_ATTRIBUTES = _words("data")
ABOUT = _words("shape device dtype ndim requires_grad is_cuda size itemsize nbytes layout is_leaf grad_fn batch_size")
# Names that end in `_` and leave the values alone.
_KEEP_VALUES = _words(
    "requires_grad_ share_memory_ pin_memory_ rename_ names_ memmap_ lock_ unlock_ squeeze_ unsqueeze_"
)
_CASTS = _words(
    "to cpu cuda float double half bfloat16 type type_as contiguous detach requires_grad_ pin_memory numpy astype"
    " squeeze_ unsqueeze_ share_memory_ as_tensor asarray from_numpy detach_ coalesce cast ascontiguousarray"
)
_COPIES = _words("clone copy deepcopy tensor array empty_copy contiguous_copy")
_SHALLOW = _words("copy copy.copy")  # of tensors: another object over the same numbers
_VIEWS = _words(
    "view reshape flatten ravel squeeze unsqueeze transpose permute expand expand_as narrow select unbind split chunk"
    " t swapaxes swapdims movedim diagonal unflatten view_as broadcast_to get values items keys iter enumerate zip"
    " reversed next tensor_split hsplit vsplit atleast_1d atleast_2d pop popitem popleft getattr"
)
_CONTAINERS = _words("dict list tuple set frozenset deque namedtuple SimpleNamespace partial")
# Functions of Python, not methods: they give what they are given, or some of it.
_PICK = _words("sorted map filter min max")
# Methods of containers, arrays and tensor dicts that change them.
_CHANGE_OWNER = _words(
    "append extend insert pop remove clear sort reverse update setdefault popitem add discard set fill put itemset"
    " partition resize popleft appendleft extendleft rotate set_at set_item __setitem__ __delitem__ __iadd__"
    " register_hook"
)
# Those by which a container holds what it is given.
_HOLD = _words("append extend insert update setdefault appendleft extendleft set __setitem__")
# Functions that change their first argument.
_CHANGE_FIRST = _words(
    "copyto shuffle put place putmask fill_diagonal setattr delattr setitem delitem iadd imul isub itruediv ipow"
    " clip_grad_norm_ heappush heappop insort at"
)
# In-place methods that leave alone what they are given: `x.copy_(y)`, but not `torch.Tensor.copy_(y, x)`.
_TAKE = _words(
    "copy_ add_ sub_ mul_ div_ pow_ fill_ lerp_ addcmul_ addcdiv_ clamp_ masked_fill_ masked_scatter_ index_copy_"
    " index_add_ index_fill_ index_put_ scatter_ scatter_add_ set_ update_"
)
_MODULES = _words("torch F nn init functional np numpy jnp math operator")
# torch's convention, `torch._foreach_mul_` and `__imul__`.
_IN_PLACE = re.compile(r"(?:[^_]|_foreach_)\w*(?<!_)_$|__i(?!nit__|ter__|nt__|ndex__|nvert__)\w+__$")
_READS = re.compile(
    r"(?:_?(?:log|print|record|track|append|add|observe|write|debug|info|warn|warning|store|put|push|update|extend|send"
    r"|save|dump|assert|check|watch|monitor|report|count|set_description|set_postfix|register|note|step|len|repr|str"
    r"|test|validate|ensure|verify|show|display|visuali[sz]e|render|plot|emit|publish|collect|notify|profile|trace"
    r"|stat|stats|summary|histogram|scalar|measure|remember|memor|cache|tick|mark|sync|synchronize|wait|close))"
    r"(?:_?[a-z0-9].*)?$"
)


def of_call(call: ast.Call) -> Effect:
    """What a call does, by its name."""
    func = call.func
    name = last_name(func)
    in_place = _IN_PLACE.match(name) is not None and name not in _KEEP_VALUES
    changes: list[int | str] = [kw.arg for kw in call.keywords if kw.arg == "out"]
    owner = dotted(func.value).partition(".")[0] if isinstance(func, ast.Attribute) else ""
    takes = name in _TAKE and isinstance(func, ast.Attribute) and owner not in _MODULES
    is_asked = any(kw.arg == "inplace" and _is_true(kw.value) for kw in call.keywords)
    if (in_place and not takes) or name in _CHANGE_FIRST or is_asked:
        changes.append(0)
    return Effect(
        changes_owner=in_place or name in _CHANGE_OWNER,
        changes=tuple(changes),
        gives=Gives.VIEW if isinstance(func, ast.Name) and name in _PICK else _gives(func),
        only_reads=_READS.match(name) is not None or name[:1].isupper(),
        only_takes=name in _TAKE and not changes,
    )


def changes_in_place(call: ast.Call) -> bool:
    """Whether the owner's values are written over, also those that it only holds: `x.mul_(2)`."""
    func = call.func
    return isinstance(func, ast.Attribute) and _IN_PLACE.match(func.attr) is not None and func.attr not in _KEEP_VALUES


def holds(call: ast.Call) -> bool:
    """Whether a container of Python's, or a tensor dict, has what it is given from then on: `rows.append(x)`."""
    return isinstance(call.func, ast.Attribute) and call.func.attr in _HOLD


def computes(call: ast.Call) -> bool:
    """Whether a call gives something else than what it is given, or a view of it."""
    return of_call(call).gives is Gives.NEW and not last_name(call.func).endswith("_like")


def _gives(func: ast.expr) -> Gives:
    name = last_name(func)
    if name in _CASTS or dotted(func) in _SHALLOW:
        return Gives.ITSELF
    if name in _COPIES:
        return Gives.COPY
    if name in _VIEWS:
        return Gives.VIEW
    return Gives.CONTAINER if name in _CONTAINERS or name[:1].isupper() else Gives.NEW


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


@lru_cache(maxsize=2048)
def own_attributes_set(function: ast.AST) -> frozenset[str]:
    """The attributes of `self` that a function gives another value, as `self.x`."""
    return frozenset(
        name
        for node in walk(function)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, (ast.Store, ast.Del))
        if (name := dotted(node)).startswith("self.")
    )
