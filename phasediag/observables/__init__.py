"""One observable a file, and what turns stored distances into degrees."""
