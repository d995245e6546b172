"""Changing the model: the life cycle of models, and re-encoding a store.

service    what people ask for: register, backfill, promote, roll back, retire
showing    models as they are shown
switching  which replicas a promotion or a roll-back waits for
following  what each replica does as the store says
backfill   the job that encodes all that is stored for the next model
reencode   encoding a store again at the start
comparing  both models by what people decided: the gate
live       both models by what is asked: shadow and canary
losses     what a model loses by decisions, with its interval
overlap    how alike two answers are
"""
