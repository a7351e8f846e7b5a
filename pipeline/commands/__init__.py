"""The command line's commands, one file a family. What is slow to import is imported where it is used."""
