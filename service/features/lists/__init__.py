"""Campaign lists: one question, saved or not, whose answer people can work with."""
