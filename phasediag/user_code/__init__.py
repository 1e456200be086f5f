"""The user's own files: what they import and open, and how they become modules."""
