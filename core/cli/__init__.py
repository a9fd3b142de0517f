"""The command line: one file a group of commands, its parser beside it."""
