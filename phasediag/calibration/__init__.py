"""The instrument measured against exact results, by the path that every sweep takes."""
