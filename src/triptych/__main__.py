"""``python -m triptych`` is the command ``triptych``."""

import sys


def main() -> None:
    """The command `triptych`; Ctrl-C ends it quietly even while its modules are being imported."""
    try:
        from triptych import cli
    except KeyboardInterrupt:
        sys.exit("Aborted!")
    cli.main()


if __name__ == "__main__":
    main()
