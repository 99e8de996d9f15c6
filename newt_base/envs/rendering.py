"""OpenGL for simulators that render: where it does not work, they still run without it."""

import importlib
import importlib.util
import os
import sys
import warnings

FAILURES = (ImportError, OSError, AttributeError, RuntimeError)  # what a missing driver or library raises, by version
PARTS = ("dm_control", "mujoco", "OpenGL", "glfw")


def imported(name):
    """The module `name`, with MUJOCO_GL=disabled where OpenGL does not work; a warning if another was asked for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*DISPLAY.*")
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            raise
        except FAILURES as error:
            asked = os.environ.get("MUJOCO_GL")
            if asked == "disabled":
                raise
            _switch_off(asked, error)
            return importlib.import_module(name)


def settle():
    """Where MUJOCO_GL names something that does not work here, switch it off before a simulator trips over it."""
    if os.environ.get("MUJOCO_GL", "disabled") != "disabled" and importlib.util.find_spec("mujoco"):
        imported("mujoco")


def works():
    """Whether frames can be rendered here, as far as MUJOCO_GL says."""
    return os.environ.get("MUJOCO_GL") != "disabled"


def _switch_off(asked, error):
    if asked is not None:
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        sys.stderr.write(
            f"warning: MUJOCO_GL={asked} does not work here ({reason[0]}); going on with MUJOCO_GL=disabled, "
            "which is enough where nothing is rendered\n"
        )
    os.environ["MUJOCO_GL"] = "disabled"
    os.environ.pop("PYOPENGL_PLATFORM", None)
    for module in [name for name in sys.modules if name.partition(".")[0] in PARTS]:
        del sys.modules[module]  # what was imported by halves
