"""The target networks answer with their own weights.

Claim: the TD target is computed by slowly following copies of the Q networks.
Code: with compile=True, newt's default, `QEnsemble` keeps a compiled function that is bound to its own networks. The
target ensemble is a deep copy, and deepcopy copies functions by reference: the copy's compiled function still
evaluates the online networks. There is no target network.
Change: the copy compiles a forward pass of its own.
Effect: with every target parameter set to zero, Q(target=True) still equals the online output before, and is 0 after.
TD targets follow the online networks at once instead of at the rate tau = 0.01.
Evidence: newt, `QEnsemble` and `QOnlineTargetEnsemble` in common/layers.py; found by running them.
Leave it off: only to repeat runs that were made with the defect. With compile=false there is no difference.
"""

from textwrap import indent

from newtfix.model import Edit, Fact, Numbers, Patch, Severity, Shape, Where, show
from newtfix.newt.conditions import TARGET_COPIES

MADE = "self.$forward = torch.compile(self.$own, $*options)"
OVER_ITSELF = "self.$forward = torch.compile(self.$forward, $*options)"
NOT_OVER_ITSELF = Where("layers", OVER_ITSELF, "QEnsemble", absent=True)
COMPILING = "self.online.$_($*_)"
GUARDED = (f"if $test:\n    $$_\n    {MADE}\n    $$_", f"{MADE} if $test else $_")


OTHERWISE = (
    f"if $test:\n    $$_\nelse:\n    $$_\n    {MADE}\n    $$_",
    "self.$forward = $_ if $test else torch.compile(self.$own, $*options)",
)
HERE, THERE = (
    Where("layers", f"def __init__(self, ${name}, $*_):\n    $$_", f"{cls}.__init__")
    for name, cls in (("cfg", "QOnlineTargetEnsemble"), ("own_cfg", "QEnsemble"))
)
BY_SETTING = tuple(guarded.replace("$test", "$own_cfg.compile") for guarded in GUARDED)


PAIR = "QOnlineTargetEnsemble"
# How the copy is made where the pair is: at once, or by a method of its own.
MADE_BY: dict[str, tuple[Where, ...]] = {
    **dict.fromkeys(TARGET_COPIES, ()),
    **{f"self.online, self.target = $online, deepcopy($online){more}": () for more in ("", ".requires_grad_(False)")},
    "self.target = self.$copied($*taken)": (
        Where("layers", "def $copied(self, $*_):\n    $$_", PAIR, near=("deepcopy($*_)", "copy.deepcopy($*_)")),
    ),
    "self.$copied()": (
        Where(
            "layers",
            tuple(f"def $copied(self):\n    $$_\n{indent(one, '    ')}\n    $$_" for one in TARGET_COPIES),
            PAIR,
        ),
    ),
}


def _with_its_own(
    code: str, *conditions: Where, own: str = "self.target.$own", fallback: bool = False
) -> tuple[Shape, ...]:
    made = f"self.target.$forward = torch.compile({own}, $*options)"
    added = code.format(own=made)
    where = (NOT_OVER_ITSELF, *conditions) if own == "self.target.$own" else conditions
    return tuple(
        Shape(code, f"{code}\n{added}", present=made, where=(*where, *more), fallback=fallback)
        for code, more in MADE_BY.items()
    )


def _over_itself(code: str, compiled: str, *conditions: Where) -> tuple[Shape, ...]:
    """The ensemble puts a compiled method in the place of the method: the copy needs that of its class, bound to it."""
    found = Where("layers", compiled, "QEnsemble", portable=("options",), names=("torch",))
    return _with_its_own(code, *conditions, found, own="type(self.target).$forward.__get__(self.target)")


PATCH = Patch(
    title="Target networks with their own compiled forward pass",
    severity=Severity.CRITICAL,
    kind="defect",
    changes="with compile=true, the target Q networks evaluate their own weights, not the online networks'",
    after=("eval-modes",),
    by_hand=(
        Where("layers", "torch.compile($*_)", "QEnsemble"),
        Where("layers", ("torch.compile($*_)", "self.$_($*_)"), "QEnsemble.__init__", absent=True),
        Where("layers", f"{COMPILING}\n$$_\nself.target = $_", "QOnlineTargetEnsemble.__init__", absent=True),
        Where(
            "layers", f"if $_:\n    {COMPILING}\n$$_\nself.target = $_", "QOnlineTargetEnsemble.__init__", absent=True
        ),
    ),
    only_where=(
        Fact("made_once", ("layers", "deepcopy", "online", "agent", "world_model")),
        Fact("one_name_for", ("layers", "QEnsemble", "_forward_impl")),
        Fact("not_set_by_name", ("layers", "QEnsemble", "_forward_impl")),
        Fact("not_given_by_hand", ("target", "online")),
        Fact("shares_no_function", ("layers", "QEnsemble")),
        Fact("set_in_no_derived", ("layers", "QEnsemble")),
        Fact("saves_all", ("target",)),
        Fact("decided_without", ("agent", "compile", "soft_update_target", "soft_update_target_Q")),
        Fact("copied_with_nothing_compiled", ("layers", "QEnsemble")),
    ),
    edits=(
        Edit(
            "own-forward",
            "layers",
            "QOnlineTargetEnsemble.__init__",
            (
                *_with_its_own(
                    "if $cfg.compile:\n    {own}",
                    HERE,
                    THERE,
                    Where("layers", BY_SETTING, "QEnsemble", portable=("options",), names=("torch",)),
                ),
                *_over_itself(
                    "if $cfg.compile:\n    {own}",
                    f"if $own_cfg.compile:\n    $$_\n    {OVER_ITSELF}\n    $$_",
                    HERE,
                    THERE,
                ),
                *_over_itself(
                    "{own}",
                    OVER_ITSELF,
                    Where("layers", f"if $_:\n    $$_\n    {OVER_ITSELF}\n    $$_", "QEnsemble", absent=True),
                ),
                *_with_its_own(
                    "if $test:\n    {own}",
                    HERE,
                    Where("layers", GUARDED, "QEnsemble", portable=("test", "options"), names=("$cfg", "torch")),
                    fallback=True,
                ),
                *_with_its_own(
                    "{own}",
                    HERE,
                    Where("layers", MADE, "QEnsemble", portable=("options",), names=("$cfg", "torch")),
                    Where("layers", (*GUARDED, *OTHERWISE), "QEnsemble", absent=True),
                ),
                *_with_its_own(
                    "if not $test:\n    {own}",
                    HERE,
                    Where("layers", OTHERWISE, "QEnsemble", portable=("test", "options"), names=("$cfg", "torch")),
                ),
            ),
            present=("self.target.$_ = self.target.$_",),
            given=("self.target = QEnsemble($*_)",),  # it has compiled its own
            unless=(
                Where("layers", "torch.compile", absent=True),
                Where(
                    "layers",
                    (
                        *("self.$_ = $_(self.$_)", "self.$_ = $_(self.$_, $*_)"),
                        *("self.$_ = $_(self.$_) if $_ else self.$_", "self.$_ = self.$_ if $_ else $_(self.$_)"),
                    ),
                    "QEnsemble",
                    absent=True,
                ),
            ),
        ),
    ),
)


def consequence(numbers: Numbers) -> str:
    in_use, tau = numbers["target_networks"].here, show(numbers.setting("tau"), "tau")
    place = numbers.source("compile")
    online = "the target ensemble evaluates the online networks"
    follows = f"{online}: the TD target follows them at once, not at the rate tau={tau}"
    if in_use is False:
        return f"With compile=True ({place}) {follows}."
    return f"With compile=True {follows}.{f' Here it is False ({place}).' if in_use else ''}"
