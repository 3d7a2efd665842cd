"""`python -m midframe` and the command `midframe`."""

import signal
from contextlib import suppress

from midframe.process import configure_process

interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if interruptible:  # Ctrl-C during the imports ends the process without a traceback
    with suppress(ValueError):  # this is not the main thread
        signal.signal(signal.SIGINT, signal.SIG_DFL)

configure_process()  # before PyTorch is imported

from midframe.cli import main

if interruptible:
    with suppress(ValueError):
        signal.signal(signal.SIGINT, signal.default_int_handler)

if __name__ == "__main__":
    main()
