"""Places that meet in the store alone: all processes run one launch, one leads, the others follow.

No Ray, no network: for an array of a batch system, or for machines that share nothing but the storage.
"""
