"""`python -m tests.edits [FOLDER]`: how newtfix treats trees with ordinary edits, per patch and kind of edit."""

import sys

from tests.edits.judging import main

main(sys.argv[1:])
