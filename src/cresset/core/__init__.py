"""Storage, views, the recorded graph, and when it runs.

Read in this order: ``spec`` (what a tensor looks like), ``storage`` (what holds its memory),
``graph`` (how an op is recorded and flushed), ``plan`` (how a flushed graph is run), ``tape`` (what
autograd remembers), ``modes`` (switches).
"""
