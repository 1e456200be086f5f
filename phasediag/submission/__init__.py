"""A launch sent to a Ray cluster: what travels, the cluster's job server, and what is told of the job."""
