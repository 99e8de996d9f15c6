"""All mutators by name."""

from __future__ import annotations

import ast

import bind
import forms
import inserts
import layout
import names
import split
from mutant import Mutator, per_file
from sites import one_by_one

MUTATORS: dict[str, Mutator] = {
    "rename": names.renaming(1.0),
    "rename-some": names.renaming(0.3),
    "rename-to-taken": names.renaming(0.5, list(names.TAKEN)),
    "aliases": bind.ALIASES,
    "bindings": bind.BINDINGS,
    "extract": split.EXTRACTIONS,
    "comparisons": one_by_one(forms.comparisons, 0.7),
    "products": one_by_one(forms.products, 0.7, 20),
    "augmented": one_by_one(forms.augmented, 0.7),
    "choices": one_by_one(forms.choices, 0.6),
    "swapped-arms": one_by_one(forms.swapped_arms, 0.4),
    "nested-tests": one_by_one(forms.nested_tests, 0.5),
    "early-else": one_by_one(forms.early_else, 0.5),
    "if-true": one_by_one(forms.wrapped, 0.05, 6),
    "walrus": one_by_one(forms.walruses, 0.7),
    "tuples": one_by_one(forms.tuples, 0.6, 20),
    "annotations": one_by_one(forms.annotations, 0.3, 20),
    "keywords": one_by_one(forms.keywords, 0.4, 20),
    "statement-order": one_by_one(forms.statements, 0.7, 30),
    "method-order": per_file(forms.method_order),
    "unparse": per_file(lambda text, rng: ast.unparse(ast.parse(text)) + "\n"),
    "insert-comments": per_file(inserts.inserting("comments", 0.4)),
    "insert-prints": per_file(inserts.inserting("prints", 0.25)),
    "insert-idle": per_file(inserts.inserting("idle", 0.25)),
    "insert-branches": per_file(inserts.inserting("branches", 0.15)),
    "insert-methods": per_file(inserts.methods),
    "docstrings": per_file(inserts.docstrings),
    "decorators": per_file(inserts.decorators),
    "trailing-comments": per_file(inserts.trailing_comments),
    "comments-inside": per_file(inserts.comments_inside),
    "format": layout.formatted,
    "reindent": per_file(layout.reindent),
    "blanks": per_file(layout.blanks),
    "crlf": per_file(layout.crlf),
}

# In a stack of mutators, those further down come first: comments and layout go on top of the code.
STACK = (
    *("unparse", "extract", "aliases", "bindings"),
    *("comparisons", "products", "augmented", "choices", "swapped-arms", "nested-tests", "early-else", "if-true"),
    *("walrus", "tuples", "annotations", "keywords", "statement-order", "method-order"),
    *("rename", "rename-some", "rename-to-taken"),
    *("decorators", "docstrings", "insert-methods", "insert-branches", "insert-idle", "insert-prints"),
    *("insert-comments", "trailing-comments", "comments-inside", "format", "reindent", "blanks", "crlf"),
)
