"""The index in FAISS: exact scan, ANN segment, rows and snapshots."""
