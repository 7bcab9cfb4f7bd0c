"""`python -m maskwright` is the command `maskwright`; torchrun starts many of it by `-m`."""

from __future__ import annotations

from maskwright.cli.app import main

if __name__ == "__main__":
    main()
