"""The policy's prior term is weighted with 1, not 10.

Claim: the reference weights the prior term of its policy loss with prior_coef 1.0.
Code: newt's default is 10.0. In upstream newt that number has no effect online (it is read only while the agent is
pretrained on demonstrations, where it is replaced by 1.0), so it lies there unnoticed until a constrained policy loss,
such as the modes `residual` and `bc_sac` of `actor-modes`, reads it.
Change: the default of `prior_coef` is 1.0.
Effect: the prior pulls with a tenth of the force. For humanoid (A=21) with `prior-norm` the weight of the Gaussian
exponent, prior_coef A^2 / 61, is 7.2 instead of 72.
Evidence: reference, `prior_coef` in config.yaml; newt, `Config` in config.py.
A default that is neither 10 nor 1 was chosen by somebody: the patch leaves it alone.
Leave it off: when you set prior_coef on the command line, which wins over the default.
"""

from newtfix.model import (
    Edit,
    Fact,
    Numbers,
    Observation,
    Patch,
    Running,
    Severity,
    Shape,
    Unobservable,
    Where,
    judged,
    rewrite,
    show,
)

KNOWN = tuple(f"prior_coef: $type = {value}" for value in ("10.0", "10", "1.0", "1"))
# More is said of the field than its default.
FIELDS = ("$made(default={}, $*about)", "Field({}, $*about)")
UNANNOTATED = "prior_coef = 10.0"


# Somebody's own choice of a number stays.
CHOSEN = (Where("config", "prior_coef: $_ = $number", "Config"), Where("config", KNOWN, "Config", absent=True))
# What a run gets that says nothing is the default.
AS_BY_DEFAULT = (Fact("set_plainly", ("prior_coef",)), Fact("set_nowhere_else", ("prior_coef", "1")))
ONE = ("prior_coef: $type = 1", "prior_coef: $type = 1e0")


# The number has a name in the module.
BY_NAME = (
    Where("config", "prior_coef: $type = $value", "Config"),
    Where("config", ("$value = 10.0", "$value = 10", "$value: $_ = 10.0", "$value: $_ = 10")),
)


def _one(*where: Where) -> Shape:
    return rewrite("- prior_coef: $type = $value\n+ prior_coef: $type = 1.0", where=where)


PATCH = Patch(
    title="Prior coefficient 1 instead of 10",
    severity=Severity.CRITICAL,
    changes="default prior_coef 1.0 instead of 10.0",
    measured="prior_coef",
    after=("prior-norm",),
    only_where=(
        Fact("read_only_in", ("prior_coef", "agent", "trainer", "config")),
        *AS_BY_DEFAULT,
        Fact("is_number", ("prior_coef",)),
        Fact("weighs_only", ("agent", "prior_coef", "loss", "Q")),
        Fact("not_scaled", ("agent", "prior_coef", "61", "61.0")),
        Fact("never_under", ("agent", ".prior_coef", "Div")),
        Fact("not_compared", ("prior_coef",)),
        Fact("weighs_plainly", ("agent", "prior_coef")),
        Fact("no_number_scales", ("agent", "pi_loss", "prior")),
        Fact("returns_unscaled", ("agent", "_log_prior")),
        Fact("not_replaced", ("agent", "update_pi", "self.pi_loss", "self._pi_loss")),
    ),
    there_only_where=AS_BY_DEFAULT,
    edits=(
        Edit(
            "default",
            "config",
            "Config",
            (
                _one(Where("config", KNOWN, "Config")),
                _one(*BY_NAME),
                *(
                    rewrite(f"""
                        - prior_coef: $type = {field.format(value)}
                        + prior_coef: $type = {field.format("1.0")}
                        """)
                    for field in FIELDS
                    for value in ("10.0", "10")
                ),
                Shape(UNANNOTATED, "prior_coef = 1.0", fallback=True),
            ),
            present=ONE,
            unless=(Where("config", "prior_coef", "Config", absent=True),),
            or_unless=(CHOSEN,),
        ),
        Edit(
            "default-of-a-base",
            "config",
            "",
            (_one(Where("config", KNOWN)),),
            present=ONE,
            unless=(Where("config", "prior_coef: $_ = $_", "Config"),),
            optional=True,
        ),
    ),
)


def consequence(numbers: Numbers) -> str:
    coefficient = numbers["prior_coef"]
    times = "just" if coefficient.ratio == 1 else f"{show(coefficient.ratio)} times"
    ratio = f": {times} as much" if coefficient.ratio is not None else ""
    here = show(coefficient.here, "not known from the text")
    said = f"prior_coef is {here}, in the reference {show(coefficient.reference)}{ratio}."
    return f"{said} {coefficient.remark}".rstrip()


def probe(tree: Running) -> list[Observation]:
    """The default that a run gets which doesn't set it."""
    cfg = tree.default_config()
    if not hasattr(cfg, "prior_coef"):
        raise Unobservable("the tree's settings have no prior_coef")
    return [judged("default of prior_coef", "1", f"{float(cfg.prior_coef):g}", "10")]
