"""What whoever runs models does by the command line."""
