"""The joules of a node, split over the requests that were there."""
