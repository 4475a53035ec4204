"""The command `facemask-batch`: one file a command; parses, calls, prints."""
