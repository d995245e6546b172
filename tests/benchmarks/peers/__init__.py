"""The service beside other vector stores, in one run."""
