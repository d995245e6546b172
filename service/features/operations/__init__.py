"""Running it: probes, metrics, verification, checks of the installation."""
