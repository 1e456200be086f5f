"""One self-contained HTML file of the results of a sweep, and how far they can be trusted."""
