"""The `mesh` command. One file a command: parsing and printing only."""
