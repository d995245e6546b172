"""Who was written to: records of outreach, and who is left out of a list because of them."""
