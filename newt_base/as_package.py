"""`python train.py` in this folder: run the script as a module of the package that the folder is.

Imported by the scripts only where they are run as files, under whatever name the folder has.
"""

import runpy
import sys
from pathlib import Path

_script = Path(sys.argv[0]).resolve()
_folder = _script.parent
if not _folder.name.isidentifier():
    sys.exit(f"error: {_folder.name} is no name of a package: rename the folder, or run newtfix train --tree {_folder}")
sys.path[0] = str(_folder.parent)
sys.modules.pop(__name__, None)
runpy.run_module(f"{_folder.name}.{_script.stem}", run_name="__main__", alter_sys=True)
sys.exit()
