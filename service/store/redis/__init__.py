"""The store on a Valkey or Redis server: scripts, client, backups."""
