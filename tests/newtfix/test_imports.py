"""Which files of a tree import which."""

from __future__ import annotations

import pytest

from newtfix.code.imports import Imported, imported, importers, origin, reached, taken

FILES = frozenset(
    ("trainer.py", "tdmpc2.py", "common/__init__.py", "common/math.py", "common/layers.py", "envs/tasks/walker.py")
)
PACKAGE = Imported("", "common/__init__.py")
MATH = Imported("math", "common/math.py")
OTHER = Imported("other", "common/__init__.py", "other")
A = Imported("A", "common/__init__.py", "other")
AGENT = Imported("tdmpc2", "tdmpc2.py")
LEFT = Imported("", "tdmpc2.py")
TAKEN = Imported("A", "tdmpc2.py", "A")


@pytest.mark.parametrize(
    ("file", "code", "found"),
    [
        ("trainer.py", "import tdmpc2", [Imported("tdmpc2", "tdmpc2.py")]),
        ("trainer.py", "import tdmpc2 as t", [Imported("t", "tdmpc2.py")]),
        ("trainer.py", "import common.math", [PACKAGE, Imported("common.math", "common/math.py")]),
        ("trainer.py", "import common.math as m", [PACKAGE, Imported("m", "common/math.py")]),
        ("trainer.py", "from common import math", [MATH]),
        ("trainer.py", "from common import math as m, other", [Imported("m", "common/math.py"), OTHER]),
        ("trainer.py", "from common.math import mse as loss", [PACKAGE, Imported("loss", "common/math.py", "mse")]),
        ("trainer.py", "from common.math import *", [PACKAGE, Imported("*", "common/math.py", "*")]),
        ("trainer.py", "from . import tdmpc2", [Imported("tdmpc2", "tdmpc2.py")]),
        ("trainer.py", "from .common.math import mse", [PACKAGE, Imported("mse", "common/math.py", "mse")]),
        ("trainer.py", "from newt.common import math", [MATH]),
        ("trainer.py", "from my.newt.common import math", [MATH]),
        ("trainer.py", "def f():\n    import tdmpc2", [Imported("tdmpc2", "tdmpc2.py")]),
        ("trainer.py", "import math\nimport torch.nn as nn\nfrom os import path", []),
        ("trainer.py", "import trainer", []),
        ("common/layers.py", "import tdmpc2", [Imported("tdmpc2", "tdmpc2.py")]),
        ("common/layers.py", "from . import math", [MATH]),
        ("common/layers.py", "from .. import tdmpc2", [Imported("tdmpc2", "tdmpc2.py")]),
        ("common/layers.py", "from ..common import math", [MATH]),
        ("envs/tasks/walker.py", "from ...common import math", [MATH]),
        ("envs/tasks/walker.py", "from common import math", [MATH]),
        ("trainer.py", "from tdmpc2 import A\nfrom common import other as A", [LEFT, A]),
        ("trainer.py", "from tdmpc2 import A\nfrom outside import A", [LEFT]),
        ("trainer.py", "from tdmpc2 import A\nB = A\nfrom common import other as A", [TAKEN, A]),
        ("trainer.py", "from tdmpc2 import A\ndef f():\n    from common import other as A", [TAKEN, A]),
        ("trainer.py", "from tdmpc2 import *\nfrom outside import *", [Imported("*", "tdmpc2.py", "*")]),
        ("trainer.py", "try:\n    from common import other as A\nexcept ImportError:\n    from tdmpc2 import A", [A]),
        ("trainer.py", "try:\n    from outside import A\nexcept ImportError:\n    from tdmpc2 import A", [TAKEN]),
        ("trainer.py", "try:\n    import tdmpc2\nexcept ImportError:\n    from common import math", [AGENT, MATH]),
    ],
)  # fmt: skip
def test_what_a_file_imports(file: str, code: str, found: list[Imported]) -> None:
    assert list(imported(file, code, FILES)) == found


SOURCES = {
    "a.py": "import b\nfrom c import d as e, f\nb.g()\nb.h.i()\n",
    "b.py": "from c import *\nfrom sub import x\n",
    "c.py": "def d(): ...\nclass f: ...\n",
    "sub/__init__.py": "from c import d as x\nx.y()\n",
    "alone.py": "import os\nos.path\n",
}
ALL = frozenset(SOURCES)


def test_what_is_taken_from_each() -> None:
    assert taken("a.py", SOURCES["a.py"], ALL) == {"b.py": frozenset("gh"), "c.py": frozenset("df")}
    assert taken("b.py", SOURCES["b.py"], ALL) == {"c.py": frozenset("*"), "sub/__init__.py": frozenset("x")}
    assert taken("alone.py", SOURCES["alone.py"], ALL) == {}


def test_what_is_reached_and_by_whom() -> None:
    assert reached(["b.py", "gone.py"], SOURCES) == {"b.py", "c.py", "sub/__init__.py"}
    assert reached(["a.py"], SOURCES) == ALL - {"alone.py"}
    assert importers(["c.py"], SOURCES) == ALL - {"alone.py"}
    assert importers(["sub/__init__.py"], SOURCES) == {"sub/__init__.py", "b.py", "a.py"}
    assert importers(["c.py"], SOURCES, frozenset(["b.py", "sub/__init__.py"])) == {"c.py", "a.py"}


@pytest.mark.parametrize(
    ("file", "name", "found"),
    [
        ("a.py", "e", ("c.py", "d")),
        ("a.py", "f", ("c.py", "f")),
        ("a.py", "b.x", ("c.py", "d")),
        ("a.py", "b.d", ("c.py", "d")),
        ("b.py", "f", ("c.py", "f")),
        ("c.py", "d", ("c.py", "d")),
        ("a.py", "d", ("", "")),
        ("a.py", "other.d", ("", "")),
        ("b.py", "nothing", ("", "")),
    ],
)
def test_where_a_name_is_defined(file: str, name: str, found: tuple[str, str]) -> None:
    assert origin(file, name, SOURCES) == found


def test_imports_in_a_circle_end() -> None:
    circle = {"a.py": "from b import x\n", "b.py": "from a import x\n"}
    assert origin("a.py", "x", circle) == ("", "")
    assert reached(["a.py"], circle) == importers(["a.py"], circle) == {"a.py", "b.py"}
