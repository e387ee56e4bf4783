"""`python -m skyctl.cli`, where the command itself is not on the path."""

from skyctl.cli import main

if __name__ == "__main__":  # a process that it spawns imports this again
    main()
