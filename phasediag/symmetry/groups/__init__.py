"""The symmetries of Table 1, one a file: action, random elements, projection, distances."""
