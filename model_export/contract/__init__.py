"""What training, export and service share: profiles, features, bundles, evidence."""
