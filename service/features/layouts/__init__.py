"""The map of the corpus: layouts that a job fits, and where everyone is on the current one."""
