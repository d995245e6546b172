"""Groups as a pure function of edges and judgements; nothing here asks a store."""
