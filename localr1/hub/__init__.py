"""Model hubs: repositories looked up, files read in parts, shards fetched while they are needed.

The only part of localr1 that opens a connection to another machine.
"""
