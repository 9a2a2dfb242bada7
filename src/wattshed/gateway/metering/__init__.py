"""Joules as meters on the nodes count them: what a node says, and who asks it."""
