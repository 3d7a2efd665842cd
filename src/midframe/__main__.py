"""`python -m midframe` and the command `midframe`."""

from midframe.process import configure_process

configure_process()  # before PyTorch is imported

from midframe.cli import main

if __name__ == "__main__":
    main()
