"""The ANN segment: build, proof of recall, pruning, devices."""
