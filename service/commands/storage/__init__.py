"""What is done to the store as a whole: backup, restore, verification, compaction."""
