"""Similar streamers over REST: what can be asked, what answers, where it is kept."""
