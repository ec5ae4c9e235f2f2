"""The example workflows as data: one module a graph, and what they share."""
