"""`python -m newtfix` is the command `newtfix`."""

from newtfix.cli import main

if __name__ == "__main__":
    main()
