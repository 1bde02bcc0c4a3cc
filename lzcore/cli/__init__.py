"""The command `lz`: one file for each of its commands, imported when the command is asked for."""
