"""Whose weights the target networks answer with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from newtfix.model import Observation, judged, unseen
from newtfix.verify.networks import answers, model_of
from newtfix.verify.subject import Subject
from newtfix.verify.world import Compiler, cuda_claimed


def probe(subject: Subject) -> list[Observation]:
    """With compile=True: what the target networks say when their own weights are 0, and when the online ones change."""
    with _compiling() as compiler:
        model = model_of(subject, compile=True)
    if not compiler.compiled and ".compile" in subject.text("layers"):
        return [unseen("with compile=True nothing was compiled here, though its code can compile")]
    model.eval()
    with torch.no_grad():
        for parameter in model._Qs.target.parameters():
            parameter.zero_()
    target, online = answers(model, target=True), answers(model)
    equal = torch.allclose(target, online)
    seen = (
        "0"
        if not target.any()
        else "the online networks' values"
        if equal
        else f"up to {float(target.abs().max()):.3g}"
    )
    what = "what target networks say whose weights are all 0 (compile=True)"
    found = [judged(what, "0", seen, "the online networks' values")]
    with torch.no_grad():
        for parameter in model._Qs.online.parameters():
            parameter.mul_(2)
    stays = torch.equal(target, answers(model, target=True))
    seen = "nothing" if stays else "the target's answer"
    return [
        *found,
        judged("what changes in the target when the online weights do", "nothing", seen, "the target's answer"),
    ]


@contextmanager
def _compiling() -> Iterator[Compiler]:
    """As on a GPU: functions are compiled, or rather wrapped, in trees that do so only there."""
    with Compiler() as compiler, cuda_claimed():
        yield compiler
