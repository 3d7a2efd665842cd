"""`python -m midframe` and the command `midframe`."""

import os

# PyTorch's threads (GNU OpenMP) wait for each other without rest, some milliseconds long: time that decoding, encoding
# and Halide's threads want. Videos became a fifth faster with shorter waits. OpenMP reads this when it is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from midframe.cli import main

if __name__ == "__main__":
    main()
