"""One self-contained HTML file that tells what a sweep found, and how far that can be trusted."""
