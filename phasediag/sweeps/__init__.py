"""What a launch does: plan, train what is missing, tell how far it is."""
