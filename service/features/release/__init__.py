"""Release tests of a bundle: what a new model has to pass before it is served."""
