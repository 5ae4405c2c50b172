"""The command `scriptorium`, and `python -m flows`."""

from flows.command_line.commands import main

if __name__ == "__main__":
    main()
