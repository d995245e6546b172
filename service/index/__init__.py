"""The searchable side: protocol, filters, and the index in FAISS."""
