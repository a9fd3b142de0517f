"""The command line: one file for each group of commands; a file lists its `COMMANDS` with their arguments."""
