"""The index kept equal to the store: log follower, lag, snapshots, maintenance."""
