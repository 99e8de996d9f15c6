"""`python -m newtfix` is the command `newtfix`; the folder that it is run in is no place for its modules."""

import sys

if not sys.flags.safe_path and not __file__.startswith(f"{sys.path[0]}/newtfix/"):
    del sys.path[0]

from newtfix.cli import main

if __name__ == "__main__":
    main()
