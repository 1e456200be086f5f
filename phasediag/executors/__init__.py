"""Where packs run: in this process, or on the workers of Ray Tune. Both leave identical rows."""
