"""`python -m midframe` and the command `midframe`."""

from midframe.cli import main

if __name__ == "__main__":
    main()
