"""gradgraph: record, draw and step through the backward pass of any autograd graph."""
