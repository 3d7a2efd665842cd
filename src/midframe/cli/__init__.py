"""The command line: thin, one function a command. Nothing else prints or exits."""

import signal
import sys
from typing import NoReturn

from midframe.cli import datasets, films, pictures, research
from midframe.cli.shared import app, err
from midframe.errors import MidframeError

__all__ = ["app", "datasets", "films", "main", "pictures", "research"]


def main() -> NoReturn:
    """Run the command line. Status 0: done; 1: a MidframeError, in one line; 2: wrong usage; 130: interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(standalone_mode=True)
    except (MidframeError, ValueError) as error:
        err.print(f"midframe: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        extra = "export" if (error.name or "").startswith("onnx") else "train"
        err.print(f"midframe: this command needs {error.name}: pip install 'midframe\\[{extra}]'", style="red")
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("midframe: stopped")
        sys.exit(130)
    sys.exit(0)
