"""`python -m nlpmtl` is the command `nlpmtl`: this is how launchers of several processes start it."""

from __future__ import annotations

from nlpmtl.cli import main

if __name__ == "__main__":
    main()
